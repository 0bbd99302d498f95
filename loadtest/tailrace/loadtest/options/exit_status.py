"""Exit statuses of `tailrace load`."""

from __future__ import annotations

from tailrace.loadtest.measure.run_result import EndReason, RunResult

GOOD = 0
# A verdict, or a server that answered nothing.
FAILED = 1
WRONG = 2
# A report there is, but of a part of the load only: processes that made it were lost.
PARTIAL = 3
# 128 and the number of SIGINT.
INTERRUPTED = 130


def exit_status(result: RunResult, *, passed: bool) -> int:
    """Returns the exit status of a run that has been told.

    Args:
        result: the run.
        passed: whether its objectives were met, and the baseline was.
    """
    if result.end_reason is EndReason.CANCEL:
        return INTERRUPTED
    if result.lost:
        return PARTIAL
    return GOOD if passed and answered(result) else FAILED


def answered(result: RunResult) -> bool:
    """Returns whether any call was answered OK.

    A stream that its caller ends after so many messages, or so long, was answered if any came.
    """
    options = result.options
    ends_streams = bool(options.stream_call_count or options.stream_call_duration)
    received = result.server_streaming and ends_streams and result.tally.responses > 0
    return received or bool(result.tally.statuses.get("OK"))
