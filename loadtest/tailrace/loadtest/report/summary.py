"""The summary: ghz's, line by line, and below it what ghz does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.one_line import one_line
from tailrace.loadtest.report.additions import additions
from tailrace.loadtest.report.figures import Figures, Mark, figures
from tailrace.loadtest.report.go_forms import latency
from tailrace.loadtest.report.text_table import tabbed
from tailrace.loadtest.verdict.baseline import Comparison
from tailrace.loadtest.verdict.judge import Verdict

_BAR = "∎"
_BAR_LENGTH = 40


def write_summary(
    result: RunResult,
    verdicts: Sequence[Verdict],
    comparisons: Sequence[Comparison],
    file: TextIO,
) -> None:
    """Writes the summary.

    Args:
        result: the run.
        verdicts: its objectives'; none where there are no objectives.
        comparisons: with the baseline; none where there is no baseline.
        file: where it goes.
    """
    told = figures(result)
    lines = ["", *_summary(result.options.name, told), ""]
    lines += ["Response time histogram:", *bars(told.histogram), ""]
    lines.append("Latency distribution:")
    # The space at the end is ghz's.
    lines += [f"  {percent} % in {latency(ns)} " for percent, ns in told.distribution.items()]
    lines.append("")
    if told.statuses:
        lines.append("Status code distribution:")
        lines += tabbed([(f"[{name}]", f"{n} responses") for name, n in told.statuses.items()])
    lines.append("")
    if told.errors:
        lines.append("Error distribution:")
        lines += tabbed([(f"[{n}]", one_line(text)) for text, n in told.errors.items()])
    lines.append("")
    for section in additions(result, verdicts, comparisons):
        lines += [*section, ""]
    file.writelines(f"{line}\n" for line in lines)


def bars(marks: Sequence[Mark]) -> list[str]:
    """Returns the lines of the response time histogram; the marks are in milliseconds."""
    ends = [f"{mark.mark_s * 1e3:.3f}" for mark in marks]
    counts = [str(mark.count) for mark in marks]
    most = max((mark.count for mark in marks), default=0)
    end_width = max(map(len, ends), default=0)
    count_width = max(map(len, counts), default=0)
    lines = []
    for mark, end, count in zip(marks, ends, counts, strict=True):
        bar = _BAR * ((mark.count * _BAR_LENGTH + most // 2) // most)
        padding = " " * (count_width - len(count))
        lines.append(f"  {end.ljust(end_width)} [{count}]{padding} |{bar}")
    return lines


def _summary(name: str, told: Figures) -> list[str]:
    return [
        "Summary:",
        *([f"  Name:\t\t{one_line(name)}"] if name else []),
        f"  Count:\t{told.count}",
        f"  Total:\t{latency(told.total_ns)}",
        f"  Slowest:\t{latency(told.slowest_ns)}",
        f"  Fastest:\t{latency(told.fastest_ns)}",
        f"  Average:\t{latency(told.average_ns)}",
        f"  Requests/sec:\t{told.rps:.2f}",
    ]
