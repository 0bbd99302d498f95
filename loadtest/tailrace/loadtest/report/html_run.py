"""Errors, the generator itself, and what was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.generator_lines import cpu_per_call_ns
from tailrace.loadtest.report.html_element import Html, element
from tailrace.loadtest.report.html_parts import note, section, table
from tailrace.loadtest.report.html_text import count, duration, share
from tailrace.loadtest.report.options_echo import options_echo

_MOST_CHARS = 2000
_TIMES = ("duration", "timeout", "keepalive")


def outcome_section(result: RunResult) -> Html:
    """Returns calls by status, and errors by their text."""
    tally = result.tally
    if not tally.statuses:
        return section("Statuses and errors", note("No call came to an end."), id_="errors")
    content = [
        table(
            "Calls by status",
            ("status", "calls", "share"),
            [
                (status, count(calls), share(calls, tally.ended))
                for status, calls in _most_first(tally.statuses)
            ],
        )
    ]
    if tally.errors:
        content.append(
            table(
                "Errors",
                ("error", "calls", "share"),
                [
                    (element("span", text, class_="error"), count(calls), share(calls, tally.ended))
                    for text, calls in _most_first(tally.errors)
                ],
            )
        )
    return section("Statuses and errors", content, id_="errors")


def generator_section(result: RunResult) -> Html:
    """Returns how the generator kept up, and what it cost."""
    tally = result.tally
    rows = [("it was the limit", f"yes: {result.limit.why}" if result.limit.limited else "no")]
    if tally.lag.count:
        told = zip(("p50", "p99", "p99.9"), tally.lag.percentiles((50, 99, 99.9)), strict=True)
        late = ", ".join(f"{name} {duration(value)}" for name, value in told)
        rows.append(("calls sent late by", f"{late}, most {duration(tally.lag.maximum_ns)}"))
    rows += [
        ("processes", str(len(result.processes) or 1)),
        ("processor time a call", duration(cpu_per_call_ns(result))),
        ("share of a core", ", ".join(_cores(result)) or "\N{EN DASH}"),
        ("most calls in flight", f"{count(tally.max_in_flight)} in one process"),
        ("messages received", count(tally.responses)),
        ("sent, received", f"{_size(tally.bytes_sent)}, {_size(tally.bytes_received)}"),
    ]
    if tally.skipped:
        rows.append(("calls that do not count", count(tally.skipped)))
    return section(
        "Generator", table("How the load was made", ("", ""), rows, words=2), id_="generator"
    )


def options_section(result: RunResult) -> Html:
    """Returns what was asked for; values of metadata, which may be secrets, are left out."""
    rows: list[tuple[str, Html]] = []
    hidden = False
    for key, value in options_echo(result.options).items():
        if key == "metadata":
            value, hidden = sorted(value), True
        if key.endswith(_TIMES):
            value = duration(value) if value else ""
        # What is none is not told.
        if value or value is False:
            rows.append((key, element("code", _value(value))))
    remark = note("Of metadata, the names only.") if hidden else ""
    return section(
        "Options",
        table("What was asked for", ("option", "value"), rows, words=2),
        remark,
        id_="options",
    )


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _MOST_CHARS:
        return text
    return f"{text[:_MOST_CHARS]} … ({count(len(text))} characters)"


def _cores(result: RunResult) -> Iterable[str]:
    for process in result.processes:
        if process.wall_ns:
            yield share(process.cpu_ns, process.wall_ns)


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
