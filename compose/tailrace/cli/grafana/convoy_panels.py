"""Panels of convoys."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.histogram_panels import percentiles
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.runtime import telemetry_names as names


def convoys(where: str) -> tuple[Panel, ...]:
    """Returns the size of convoys, their wait, how many are under way, and what waits for one.

    Args:
        where: label matchers of the pipelines.
    """
    by = ["pipeline"]
    return (
        panel_kinds.lines(
            "Requests of a convoy",
            "How many requests travel together. It grows with load; large convoys are what carries "
            "a high rate.",
            [
                Query(promql.mean(names.CONVOY_ROWS, where, by), "{{pipeline}} mean"),
                Query(promql.quantile(0.95, names.CONVOY_ROWS, where, by), "{{pipeline}} p95"),
            ],
            unit="short",
            width=6,
        ),
        percentiles(
            "Wait for departure",
            "How long the first request of a convoy waited until it left.",
            names.CONVOY_WAIT_SECONDS,
            where,
            by=by,
            levels=[0.95],
            width=6,
        ),
        panel_kinds.lines(
            "Convoys under way",
            "Convoys between departure and return. At its limit, requests queue.",
            [
                Query(
                    promql.total(promql.selector(names.CONVOYS_IN_FLIGHT, where), by),
                    "{{pipeline}}",
                )
            ],
            unit="short",
            width=6,
        ),
        panel_kinds.lines(
            "Requests that wait for a convoy",
            "If it grows without end, the mesh is asked for more than it can do.",
            [Query(promql.total(promql.selector(names.QUEUED_ROWS, where), by), "{{pipeline}}")],
            unit="short",
            width=6,
        ),
    )
