"""What the summary tells below ghz's, where there is something to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.latency_histogram import LatencyHistogram
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.one_line import one_line
from tailrace.loadtest.report.figures import PERCENTAGES
from tailrace.loadtest.report.generator_lines import generator_lines
from tailrace.loadtest.report.go_forms import latency
from tailrace.loadtest.report.hop_lines import goodput_line, hop_lines, quality_lines
from tailrace.loadtest.report.text_table import tabbed, table
from tailrace.loadtest.verdict.baseline import Comparison, Outcome
from tailrace.loadtest.verdict.judge import Verdict

# Beyond 99 %, and from how many calls on they are other calls than the slowest.
TAIL = {99.9: 1_000, 99.99: 10_000}


def additions(
    result: RunResult, verdicts: Sequence[Verdict], comparisons: Sequence[Comparison]
) -> Iterator[list[str]]:
    """Yields sections of lines, each with a heading; none for what there is nothing to say of."""
    sections = (
        _lost(result),
        _ended_early(result),
        _latencies(result),
        _messages(result),
        generator_lines(result),
        *_answers(result),
        _judged("Objectives:", verdicts),
        _judged("Compared with the baseline:", comparisons),
    )
    yield from (section for section in sections if section)


def _ended_early(result: RunResult) -> list[str]:
    if result.end_reason is EndReason.CANCEL:
        return ["Interrupted: all this is of what was done until then."]
    if result.end_reason is EndReason.TIMEOUT and not result.options.duration:
        return [f"Ended by --max-duration, before all of {result.options.total} calls were made."]
    return []


def _lost(result: RunResult) -> list[str]:
    if not result.lost:
        return []
    lines = [f"  {one_line(lost.text)}" for lost in result.lost]
    return ["Only a part of the load was made, and all this is of what is known of it:", *lines]


def _latencies(result: RunResult) -> list[str]:
    due, sent = result.tally.corrected, result.tally.uncorrected
    tail = [percent for percent, calls in TAIL.items() if due.count >= calls]
    if result.corrected_differs:
        rows = list(zip(_column(due, tail), _column(sent, tail), strict=True))
        if any(mine != theirs for mine, theirs in rows):
            names = [*(f"{percent} %" for percent in (*PERCENTAGES, *tail)), "slowest", "average"]
            return [
                "Latency from when calls were due (as above), and from when they were sent:",
                *table([("", "due", "sent"), *((n, *r) for n, r in zip(names, rows, strict=True))]),
            ]
    if tail:
        told = zip(tail, due.percentiles(tail), strict=True)
        return ["Beyond 99 %:", *(f"  {percent} % in {latency(ns)}" for percent, ns in told)]
    return []


def _column(histogram: LatencyHistogram, tail: Sequence[float]) -> list[str]:
    values = [*histogram.percentiles([*PERCENTAGES, *tail]), histogram.maximum_ns]
    return [latency(ns) for ns in (*values, histogram.mean_ns)]


def _messages(result: RunResult) -> list[str]:
    if not result.server_streaming or not result.duration_ns:
        return []
    received = result.tally.responses
    rate = received / result.duration_ns * 1e9
    return ["Messages received:", f"  {received}, {rate:.2f} a second"]


def _answers(result: RunResult) -> Iterator[list[str]]:
    answers = result.tally.answers
    if not isinstance(answers, HopTally):
        return
    yield hop_lines(answers)
    yield quality_lines(answers)
    yield goodput_line(answers, result)


def _judged(heading: str, judged: Sequence[Verdict | Comparison]) -> list[str]:
    if not judged:
        return []
    rows = [(_judgement(each), each.text) for each in judged]
    return [heading, *(line.rstrip() for line in tabbed(rows))]


def _judgement(each: Verdict | Comparison) -> str:
    if isinstance(each, Comparison) and each.outcome is Outcome.NOTE:
        return ""
    return "passed" if each.passed else "FAILED"
