"""What the summary tells of Tailrace's answers: their hops, their quality, goodput."""

from __future__ import annotations

from tailrace.loadtest.hops.hop_names import PARTS
from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.figures import most_first
from tailrace.loadtest.report.text_table import tabbed, table
from tailrace.runtime.placement import HOPS

_PERCENTS = (50, 90, 99, 99.9)
_ROWS = {
    "convoy_wait": "convoy",
    **{hop: hop for hop in HOPS},
    "unattributed": "unattributed",
    "total": "gateway in all",
    "outside": "outside of it",
}


def hop_lines(answers: HopTally) -> list[str]:
    """Returns a table: percentiles of each hop, and the means of its parts."""
    rows = [_row(answers, name, told) for name, told in _ROWS.items() if answers.span(name).count]
    if not rows:
        return []
    header = (
        "hop",
        *(f"{percent:g} %" for percent in _PERCENTS),
        "slowest",
        "mean",
        *PARTS,
        "critical",
    )
    lines = [f"Hops, in ms, of {answers.answered} answers:", *table([header, *rows])]
    for hop, counts in answers.hops.items():
        for count, what in ((counts.retried, "called again"), (counts.failed, "not answered OK")):
            if count:
                lines.append(f"  {hop} was {what} for {count} of {counts.answers} answers")
    return lines


def _row(answers: HopTally, name: str, told: str) -> tuple[str, ...]:
    span = answers.span(name)
    values = (*span.percentiles(_PERCENTS), span.maximum_ns, span.mean_ns)
    row = [told, *(_ms(value) for value in values)]
    counts = answers.hops.get(name)
    if counts is None or not counts.answers:
        return (*row, *("" for _ in PARTS), "")
    # Answers without a queue, say, have no value of it: they count as none.
    parts = (answers.span(f"{name}.{part}").total_ns / span.count for part in PARTS)
    return (*row, *map(_ms, parts), f"{counts.critical / counts.answers:.0%}")


def quality_lines(answers: HopTally) -> list[str]:
    """Returns answers by quality, the reasons of those that are not live, and errors inside."""
    lines = []
    if answers.answered:
        rows = [
            (f"[{quality}]", f"{count} answers", f"{count / answers.answered:.2%}")
            for quality, count in most_first(answers.qualities).items()
        ]
        lines += ["Quality:", *(line.rstrip() for line in tabbed(rows))]
    for heading, counts in (("because of:", answers.reasons), ("not predicted:", answers.errors)):
        if counts:
            rows_of = [(f"[{count}]", kind) for kind, count in most_first(counts).items()]
            lines += [heading.capitalize(), *(line.rstrip() for line in tabbed(rows_of))]
    if answers.pending:
        lines.append(f"Pending: {answers.pending} submissions had no outcome when asked for")
    if answers.unreadable:
        lines.append(f"Unreadable: {answers.unreadable} messages were no answers of Tailrace's")
    return lines


def goodput_line(answers: HopTally, result: RunResult) -> list[str]:
    """Returns how many requests have an answer that is live and in time, and how many a second."""
    requests = answers.requests(result.tally.failed)
    if not requests or not result.duration_ns:
        return []
    rate = answers.good / result.duration_ns * 1e9
    share = answers.goodput(result.tally.failed)
    return [
        f"Goodput: {rate:.2f} a second, {share:.2%} of {requests} requests",
        f"  live and in time {answers.good}, degraded {answers.degraded}, late {answers.late},"
        f" without an answer {requests - answers.answered}",
    ]


def _ms(ns: float) -> str:
    return f"{ns / 1e6:.2f}"
