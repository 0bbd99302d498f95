"""Where the time of Tailrace's answers went, hop by hop."""

from __future__ import annotations

from tailrace.loadtest.hops.cost_bands import Breakdown
from tailrace.loadtest.hops.hop_names import COSTS, PARTS
from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.report.html_element import Content, Html, element
from tailrace.loadtest.report.html_parts import figure, note, section, table
from tailrace.loadtest.report.html_stack import stacked
from tailrace.loadtest.report.html_text import count, duration, percentile_name, share
from tailrace.runtime.placement import HOPS

_PERCENTS = (50.0, 90.0, 99.0, 99.9)
_NAMES = {
    "convoy_wait": "wait for a convoy",
    **{hop: hop for hop in HOPS},
    "unattributed": "rest of the gateway",
    "total": "whole gateway",
    "outside": "outside the gateway",
}
# Which answers, and between which percentiles of their length they lie.
_GROUPS = (
    ("all answers", 0.0, 100.0),
    ("around the median", 45.0, 55.0),
    ("slowest 10 %", 90.0, 100.0),
    ("slowest 1 %", 99.0, 100.0),
)


def hop_section(answers: HopTally) -> Html:
    """Returns where time went.

    Args:
        answers: with one ledger at least.
    """
    found = [(name, answers.bands.breakdown(low, high)) for name, low, high in _GROUPS]
    groups = [(name, breakdown) for name, breakdown in found if breakdown is not None]
    costs = [cost for cost in COSTS if any(one.costs_ns[cost] for _, one in groups)]
    drawing = stacked(
        [_bar(name, one, costs) for name, one in groups], "Shares of the time of answers, by hop"
    )
    hops = [hop for hop in HOPS if any(cost.startswith(f"{hop}.") for cost in costs)]
    legend = [
        (f"fill-{name}", _NAMES[name])
        for name in ("convoy_wait", *hops, "unattributed", "outside")
        if name in hops or name in costs
    ]
    return section(
        "Hops",
        figure(
            drawing,
            legend=legend,
            caption="Means of what lay on the critical path, which add up to the whole. Of a hop:"
            " queue (lightest), network, work (full colour).",
        ),
        table(
            "Mean times on the critical path", ("", *(name for name, _ in groups)), _costs(groups)
        ),
        table(
            "Times of each hop, on the critical path or not",
            ("", *map(percentile_name, _PERCENTS), "slowest", *(f"mean {part}" for part in PARTS)),
            [_spans(answers, name) for name in _NAMES if answers.span(name).count],
        ),
        table(
            "Calls of hops",
            ("", "answers", "on the critical path", "called again", "not answered OK"),
            [_calls(answers, hop) for hop in HOPS if hop in answers.hops],
        ),
        note(
            "Times inside the gateway are from the ledgers of the answers. Outside of it: from when"
            " a call was due until its answer, less the gateway's time; the network between, and"
            " whatever waited on either side of it."
        ),
        id_="hops",
    )


def _bar(
    name: str, one: Breakdown, costs: list[str]
) -> tuple[str, str, list[tuple[str, float, str, str]]]:
    whole = sum(one.costs_ns.values())
    pieces = []
    for cost in costs:
        hop, _, part = cost.partition(".")
        spent = one.costs_ns[cost]
        told = f"{_NAMES[hop]}{f', {part}' if part else ''}: {duration(spent)}"
        class_ = f"fill-{hop} part-{part}" if part else f"fill-{hop}"
        pieces.append(
            (class_, spent, f"{told}, {share(spent, whole)}", hop if part == "work" else "")
        )
    return name, duration(whole), pieces


def _costs(groups: list[tuple[str, Breakdown]]) -> list[list[Content]]:
    rows: list[list[Content]] = []
    for name in ("convoy_wait", *HOPS, "unattributed", "outside"):
        spent = [
            sum(ns for cost, ns in one.costs_ns.items() if cost.partition(".")[0] == name)
            for _, one in groups
        ]
        if any(spent):
            wholes = [sum(one.costs_ns.values()) for _, one in groups]
            rows.append(
                [_NAMES[name]]
                + [
                    [duration(ns), element("small", f" {ns / whole:.0%}" if whole else "")]
                    for ns, whole in zip(spent, wholes, strict=True)
                ]
            )
    rows.append(["sum", *(duration(sum(one.costs_ns.values())) for _, one in groups)])
    rows.append(["answers", *(count(one.answers) for _, one in groups)])
    return rows


def _spans(answers: HopTally, name: str) -> list[str]:
    span = answers.span(name)
    row = [_NAMES[name], *map(duration, span.percentiles(_PERCENTS)), duration(span.maximum_ns)]
    if name not in HOPS:
        return [*row, *("" for _ in PARTS)]
    return [
        *row,
        *(duration(answers.span(f"{name}.{part}").total_ns / span.count) for part in PARTS),
    ]


def _calls(answers: HopTally, hop: str) -> list[str]:
    counts = answers.hops[hop]
    return [
        hop,
        count(counts.answers),
        share(counts.critical, counts.answers),
        count(counts.retried),
        count(counts.failed),
    ]
