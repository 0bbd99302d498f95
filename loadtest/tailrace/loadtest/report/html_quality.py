"""How good Tailrace's answers were: quality, goodput."""

from __future__ import annotations

from tailrace.loadtest.hops.hop_tally import LIVE, HopTally
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.html_element import Html
from tailrace.loadtest.report.html_parts import figure, note, section, table
from tailrace.loadtest.report.html_stack import stacked
from tailrace.loadtest.report.html_text import count, rate, share


def quality_section(answers: HopTally, result: RunResult) -> Html:
    """Returns how many requests had good answers, and how answers were made."""
    requests = answers.requests(result.tally.failed)
    outcomes = [
        ("good", "live and in time", answers.good),
        ("degraded", "in time, but degraded", answers.degraded),
        ("late", "after the deadline", answers.late),
        ("unanswered", "without an answer", requests - answers.answered),
    ]
    bars = [
        (
            "requests",
            count(requests),
            [_piece(f"fill-{name}", told, size) for name, told, size in outcomes],
        )
    ]
    legend = [(f"fill-{name}", told) for name, told, size in outcomes if size]
    qualities = sorted(answers.qualities.items(), key=lambda item: (item[0] != LIVE, -item[1]))
    seconds = result.duration_ns / 1e9
    content = [
        figure(stacked(bars, "Requests by how they were answered"), legend=legend),
        table(
            "Goodput",
            ("requests", "count", "share", "rate"),
            [
                (told, count(size), share(size, requests), rate(size / seconds) if seconds else "")
                for _, told, size in outcomes
            ],
        ),
        table(
            "Quality of answers",
            ("quality", "answers", "share"),
            [(name, count(size), share(size, answers.answered)) for name, size in qualities],
        ),
    ]
    for caption, heading, kinds in (
        ("Why answers were not live", "reason", answers.reasons),
        ("Errors in place of answers, inside answered calls", "error", answers.errors),
    ):
        if kinds:
            content.append(table(caption, (heading, "count"), _most_first(kinds)))
    if answers.pending:
        content.append(note(f"{count(answers.pending)} submissions had no outcome when asked for."))
    if answers.unreadable:
        content.append(note(f"{count(answers.unreadable)} messages could not be read."))
    return section("Quality and goodput", content, id_="quality")


def _piece(class_: str, told: str, size: int) -> tuple[str, float, str, str]:
    return class_, size, f"{told}: {count(size)}", told


def _most_first(kinds: dict[str, int]) -> list[tuple[str, str]]:
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return [(kind, count(found)) for kind, found in ordered]
