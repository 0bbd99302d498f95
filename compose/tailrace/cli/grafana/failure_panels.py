"""Panels of what goes wrong, by hop and reason."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, promql
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.runtime import telemetry_names as names


def what_goes_wrong(where: str) -> tuple[Panel, ...]:
    """Returns failed calls and rows, deadline misses, degradations, refusals and attempts.

    Args:
        where: label matchers of the pipelines.
    """
    return (
        panel_kinds.lines(
            "Calls of hops that failed, by reason",
            "Requests each second whose call of a hop failed as a whole. The reason is that of the "
            "error's details; `UNAVAILABLE` means that the service was not reached.",
            [
                Query(
                    promql.rate(names.HOP_FAILURES_TOTAL, where, ["hop", "reason"]),
                    "{{hop}} {{reason}}",
                )
            ],
            unit="reqps",
        ),
        panel_kinds.lines(
            "Rows that failed, by reason",
            "Requests each second that failed by themselves inside a service, while the others of "
            "their convoy went on: bad fields, missing entities, models that refuse.",
            [
                Query(
                    promql.rate(names.ROW_FAILURES_TOTAL, by=["hop", "reason"]),
                    "{{hop}} {{reason}}",
                )
            ],
            unit="reqps",
        ),
        panel_kinds.lines(
            "Deadline misses by hop",
            "Calls each second that ran out of their budget. The hop named is the one that was "
            "waited for, which is where the time went.",
            [
                Query(
                    promql.rate(names.DEADLINE_MISSES_TOTAL, where, ["pipeline", "hop"]),
                    "{{pipeline}} {{hop}}",
                )
            ],
            unit="cps",
        ),
        panel_kinds.lines(
            "Degraded answers by reason",
            "Answers each second that were not wholly live, by quality and reason.",
            [
                Query(
                    promql.rate(names.DEGRADED_TOTAL, where, ["quality", "reason"]),
                    "{{quality}}: {{reason}}",
                )
            ],
            unit="reqps",
        ),
        panel_kinds.lines(
            "Refused on arrival, by reason",
            "Requests each second that the gateway did not take, as it could not have answered in "
            "time or is full.",
            [
                Query(
                    promql.rate(names.REFUSED_TOTAL, where, ["pipeline", "reason"]),
                    "{{pipeline}} {{reason}}",
                )
            ],
            unit="reqps",
        ),
        panel_kinds.lines(
            "Attempts of hop calls",
            "Calls made to each hop each second, attempts after failures included.",
            [Query(promql.rate(names.HOP_ATTEMPTS_TOTAL, where, ["hop"]), "{{hop}}")],
            unit="cps",
        ),
    )
