"""Objectives and the comparison with an earlier run."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.loadtest.report.html_element import Content, Html, element
from tailrace.loadtest.report.html_parts import note, section, table
from tailrace.loadtest.verdict.comparison import Comparison, Outcome
from tailrace.loadtest.verdict.figure_text import figure_text
from tailrace.loadtest.verdict.judge import Verdict
from tailrace.loadtest.verdict.objective import Unit


def objectives_section(verdicts: Sequence[Verdict]) -> Html:
    """Returns each objective, and whether it was met."""
    lines = [
        element("li", _judgement("met" if one.passed else "missed", one.passed), " ", one.text)
        for one in verdicts
    ]
    missed = sum(not one.passed for one in verdicts)
    told = f"{missed} of {len(verdicts)} missed" if missed else "all met"
    return section(f"Objectives: {told}", element("ul", lines, class_="judged"), id_="objectives")


def baseline_section(comparisons: Sequence[Comparison]) -> Html:
    """Returns each figure beside that of the earlier run."""
    figures = [one for one in comparisons if one.outcome is not Outcome.NOTE]
    failed = sum(not one.passed for one in figures)
    told = f"{failed} of {len(figures)} failed" if failed else "passed"
    rows: list[list[Content]] = [
        [
            one.figure,
            _judgement(str(one.outcome), one.passed),
            *(
                "" if each is None else figure_text(each, one.unit)
                for each in (one.before, one.after)
            ),
            *_change(one),
        ]
        for one in figures
    ]
    headings = ("figure", "outcome", "before", "now", "change", "95 % confidence")
    remarks = [one.why for one in comparisons if one.outcome is Outcome.NOTE]
    remarks += [f"{one.figure}: {one.why}" for one in figures if one.why]
    return section(
        f"Compared with the baseline: {told}",
        table("Figures of both runs", headings, rows, words=2),
        [note(remark) for remark in remarks],
        id_="baseline",
    )


def _judgement(told: str, passed: bool) -> Html:
    mark = "\N{CHECK MARK}" if passed else "\N{MULTIPLICATION SIGN}"
    return element("span", f"{mark} {told}", class_=f"judgement {'passed' if passed else 'failed'}")


def _figure(value: float | None, unit: Unit) -> str:
    return "" if value is None else figure_text(value, unit)


def _change(one: Comparison) -> tuple[str, str]:
    if one.change is None:
        return "", ""
    # Shares are compared by their difference, all else by their ratio.
    same, unit = (0.0, "points") if one.unit is Unit.SHARE else (1.0, "%")
    change = f"{(one.change - same) * 100:+.3g} {unit}"
    if one.low is None or one.high is None:
        return change, ""
    low, high = (f"{(each - same) * 100:+.3g}" for each in (one.low, one.high))
    return change, f"{low} to {high} {unit}"
