"""Panels that say which hop spends the time; on the overview and on the drill-down."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.dashboard import choice_variable
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.cli.grafana.panel_kinds import Column
from tailrace.runtime import telemetry_names as names

PARTS = (
    ("queue", names.HOP_QUEUE_SECONDS),
    ("network", names.HOP_NETWORK_SECONDS),
    ("work", names.HOP_WORK_SECONDS),
)
"""What a hop's time is made of, and the histogram of each."""

# Of figures that are compared: long enough to be steady, short enough for what goes on now.
_WINDOW = "$window"
COMPARISON = (
    choice_variable("window", "Table over", ("5m", "1m", "15m", "1h")),
    choice_variable("compare", "Compare with", ("1h", "15m", "6h", "1d", "7d")),
)
"""Variables that dashboards with these panels need: over how long, and with how long ago."""
_BY = ("pipeline", "hop")


def worst_hop_first(where: str) -> Panel:
    """Returns the table of all hops, the one that spends the most time first.

    Args:
        where: label matchers of the pipelines.
    """
    spent = promql.rate(f"{names.HOP_SECONDS}_sum", where, _BY, _WINDOW)
    of_all = promql.rate(f"{names.HOP_SECONDS}_sum", where, ["pipeline"], _WINDOW)
    now, before = _mean(where), _mean(where, "$compare")
    return panel_kinds.table(
        "Worst hop first",
        "Each hop of each pipeline over the last minutes (as many as chosen above), the one in "
        "which requests spend the most time first. Red in the last column: more time than an hour "
        "ago (or than as long ago as chosen above), so look there first. Share is that of all hops "
        "of the pipeline; hops that run beside each other both count. Queue, network and work say "
        "why: waiting inside the service, on the way there and back, or computing.",
        {"pipeline": "Pipeline", "hop": "Hop"},
        (
            Column("Mean", now, "s", bar=True),
            Column("p95", promql.quantile(0.95, names.HOP_SECONDS, where, _BY, _WINDOW), "s"),
            Column("Share", promql.share(spent, of_all, on="pipeline"), "percentunit"),
            *(
                Column(part.capitalize(), promql.mean(histogram, where, _BY, _WINDOW), "s")
                for part, histogram in PARTS
            ),
            Column("Mean before", before, "s"),
            Column("Grown by", f"{now} - {before}", "s"),
            Column("Grown by %", f"{now} / {before} - 1", "percentunit", rising_is_bad=True),
        ),
        width=18,
        height=9,
    )


def spends_most(where: str) -> Panel:
    """Returns the name of the hop in which requests spend the most time, and how much."""
    return panel_kinds.named_tile(
        "Spends the most",
        "The hop in which requests spend the most time, and the mean of it.",
        f"topk(1, {_mean(where)})",
        unit="s",
        legend="{{pipeline}}: {{hop}}",
    )


def grew_most(where: str) -> Panel:
    """Returns the name of the hop whose mean time has grown the most, and by how much."""
    return panel_kinds.named_tile(
        "Has grown the most",
        "The hop whose mean time is now the most above that of an hour ago, or of as long ago as "
        "chosen above. When requests have become slow, it is this one.",
        f"topk(1, {_mean(where)} - {_mean(where, '$compare')})",
        unit="s",
        legend="{{pipeline}}: {{hop}}",
    )


def time_by_part(where: str, width: int = 12) -> Panel:
    """Returns where a request's time goes: each hop's queue, network and work, stacked."""
    return panel_kinds.lines(
        "Where the time of a request goes",
        "Mean time that a request spends in each hop, in three parts that add up: waiting inside "
        "the service (queue), on the way there and back (network), and computing (work). A band "
        "that widens names both the hop and the reason. Features and ingest may run at the same "
        "time, so the height can be more than what the caller waits.",
        [
            Query(promql.mean(histogram, where, ["hop"]), f"{{{{hop}}}} {part}")
            for part, histogram in PARTS
        ],
        unit="s",
        width=width,
        height=10,
        stacked=True,
    )


def part_by_hop(part: str, description: str, where: str, width: int = 8) -> Panel:
    """Returns the 95th percentile of one part of the hops' time.

    Args:
        part: `queue`, `network` or `work`.
        description: how to read it.
        where: label matchers.
        width: columns of 24.
    """
    return panel_kinds.lines(
        f"{part.capitalize()} time by hop, p95",
        description,
        [Query(promql.quantile(0.95, dict(PARTS)[part], where, ["hop"]), "{{hop}}")],
        unit="s",
        width=width,
    )


def _mean(where: str, ago: str = "") -> str:
    return promql.mean(names.HOP_SECONDS, where, _BY, _WINDOW, ago)
