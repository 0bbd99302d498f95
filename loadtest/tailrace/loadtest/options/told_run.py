"""One run with all that is told about it: progress, report, verdicts, exit status."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.hgrm import write_hgrm
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.one_line import one_line
from tailrace.loadtest.options.debug_log import LOGGER, debug_log
from tailrace.loadtest.options.exit_status import answered, exit_status
from tailrace.loadtest.options.load_options import Format, LoadOptions
from tailrace.loadtest.options.standard_input import with_standard_input
from tailrace.loadtest.options.standard_streams import complain
from tailrace.loadtest.options.termination import termination_as_interrupt
from tailrace.loadtest.options.written_file import written_file
from tailrace.loadtest.progress.live import Progress
from tailrace.loadtest.report.summary import write_summary
from tailrace.loadtest.report.write import write_report
from tailrace.loadtest.run import run_load
from tailrace.loadtest.verdict.baseline import compare, read_baseline
from tailrace.loadtest.verdict.comparison import Comparison, Outcome
from tailrace.loadtest.verdict.judge import Verdict, judge
from tailrace.loadtest.verdict.objective import parse_objective


def tell_run(options: LoadOptions) -> int:
    """Runs a load, writes its reports, judges it, and returns the exit status.

    Ctrl-C ends the load early, and the report is of what was done; pressed again, it ends all. So
    do SIGTERM and SIGHUP.

    Raises:
        LoadError: something is wrong with the options; nothing was written, unless it is the
            report's own file that cannot be.
    """
    if options.output is None and sys.stdout is None:
        raise LoadError("standard output is closed", "-o takes the report to a file")
    objectives = [parse_objective(text) for text in options.slo]
    baseline = None if options.baseline is None else read_baseline(options.baseline)
    with (
        termination_as_interrupt(),
        debug_log(options.debug),
        with_standard_input(options) as whole,
    ):
        LOGGER.debug("run begins", extra={"figures": {"options": repr(whole)}})
        try:
            # Cancelled by the first Ctrl-C; the second is a KeyboardInterrupt wherever it comes.
            result = asyncio.run(_run(whole))
        except Exception:
            LOGGER.exception("run failed")
            raise
        try:
            verdicts = judge(objectives, result)
            comparisons = (
                []
                if baseline is None
                else compare(baseline, result, tolerance=options.baseline_tolerance)
            )
            passed = all(verdict.passed for verdict in verdicts)
            passed &= all(comparison.passed for comparison in comparisons)
            status = exit_status(result, passed=passed)
            LOGGER.debug(
                "run ended",
                extra={
                    "figures": {
                        "calls": result.tally.ended,
                        "statuses": result.tally.statuses,
                        "end_reason": result.end_reason,
                        "exit_status": status,
                    }
                },
            )
            _write(result, verdicts, comparisons)
        finally:
            if result.details is not None:
                result.details.close()
    _tell(result, verdicts, comparisons)
    return status


async def _run(options: LoadOptions) -> RunResult:
    progress = Progress(options, sys.stderr)
    load = asyncio.create_task(run_load(options, progress))
    try:
        return await asyncio.shield(load)
    except asyncio.CancelledError:
        progress.close()
        complain("interrupted: the run ends early; Ctrl-C again ends it at once")
        load.cancel()
        return await load
    finally:
        progress.close()


def _write(
    result: RunResult, verdicts: Sequence[Verdict], comparisons: Sequence[Comparison]
) -> None:
    faults: list[LoadError] = []
    # One that cannot be written does not cost the other.
    if result.options.hgrm is not None:
        try:
            with written_file(result.options.hgrm) as file:
                notes = [lost.text for lost in result.lost]
                write_hgrm(result.tally.corrected, file, notes)
        except LoadError as error:
            faults.append(error)
    try:
        with written_file(result.options.output) as file:
            write_report(result, verdicts, comparisons, file)
    except LoadError as error:
        summary = io.StringIO()
        write_summary(result, verdicts, comparisons, summary)
        complain(summary.getvalue())
        faults.append(LoadError(error.problem, "the load is over; this was its summary"))
    for fault in faults[:-1]:
        complain(f"error: {one_line(str(fault))}")
    if faults:
        raise faults[-1]


def _tell(
    result: RunResult, verdicts: Sequence[Verdict], comparisons: Sequence[Comparison]
) -> None:
    """Says on standard error what decides the exit status, where no summary has just said it."""
    options = result.options
    for lost in result.lost:
        complain(f"error: {one_line(lost.text)}")
    if result.details is not None and result.details.fault:
        fault = result.details.fault
        complain(f"warning: the report does not list all calls: {fault}")
    if not (options.format is Format.SUMMARY and options.output is None):
        if result.limit.limited:
            why = result.limit.why
            complain(f"warning: the generator, not the server, was the limit: {why}")
        for verdict in verdicts:
            complain(f"{'passed' if verdict.passed else 'FAILED'}: {verdict.text}")
        for comparison in comparisons:
            note = comparison.outcome is Outcome.NOTE
            prefix = "" if note else "passed: " if comparison.passed else "FAILED: "
            complain(f"{prefix}{comparison.text}")
    if not answered(result):
        tally = result.tally
        most = max(tally.errors, key=lambda text: tally.errors[text], default="")
        calls = f"none of {tally.ended} calls was answered OK" if tally.ended else "no call counts"
        complain(f"error: {calls}{f' ({one_line(most)})' if most else ''}")
