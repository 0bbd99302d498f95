"""Runs a load test: what `tailrace load`, scenarios and plans have in common."""

from __future__ import annotations

from collections.abc import Callable

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions

# Called some times a second, with what all processes recorded so far and the seconds since the
# start.
OnProgress = Callable[[Tally, float], None]


async def run_load(options: LoadOptions, on_progress: OnProgress | None = None) -> RunResult:
    """Makes the load in processes of its own, and waits for its end.

    Cancelled (as by Ctrl-C), it ends the load early and returns what it came to so far, with
    `EndReason.CANCEL`.

    Args:
        options: what to do. Its report and its verdicts are the caller's to make.
        on_progress: told how it goes.

    Raises:
        LoadError: the target, the method, or the data is not what the options say; nothing was
            called, but for a template whose later calls are at fault.
    """
    raise NotImplementedError
