"""The dashboard that an on-call engineer opens first."""

from __future__ import annotations

from tailrace.cli.grafana import (
    convoy_panels,
    failure_panels,
    panel_kinds,
    panels_of_hops,
    process_panels,
    promql,
)
from tailrace.cli.grafana.dashboard import Dashboard, Row, query_variable
from tailrace.cli.grafana.histogram_panels import percentiles
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.runtime import telemetry_names as names

_PIPELINE = 'pipeline=~"$pipeline"'
_SERVICE = 'service=~"$service"'
_REQUESTS = f"{promql.CALLERS}, {_PIPELINE}"
_BAD = f'{_REQUESTS}, outcome!~"OK|{promql.CALLERS_OWN}"'


def mesh_overview() -> Dashboard:
    """Returns the overview: is anything wrong, and where."""
    return Dashboard(
        uid="tailrace-mesh",
        title="Tailrace: mesh overview",
        description="Is anything wrong, which hop is it, since when, and does it matter.",
        rows=(
            Row("At first sight", _first_sight()),
            Row("Where the time goes", _time()),
            Row("Pipelines: rate, errors, duration", _pipelines()),
            Row("What goes wrong", failure_panels.what_goes_wrong(_PIPELINE)),
            Row("Convoys", convoy_panels.convoys(_PIPELINE)),
            Row("Services: rate, errors, duration", process_panels.services(_SERVICE)),
            Row("Processes", process_panels.processes(_SERVICE)),
            Row("Telemetry itself", process_panels.telemetry(_SERVICE)),
        ),
        variables=(
            query_variable("pipeline", "Pipeline", names.PREDICTIONS_TOTAL),
            query_variable("service", "Service", 'up{job="tailrace"}'),
            *panels_of_hops.COMPARISON,
        ),
    )


def _first_sight() -> tuple[Panel, ...]:
    answered = promql.rate(names.PREDICTIONS_TOTAL, _REQUESTS)
    degraded = promql.rate(names.DEGRADED_TOTAL, _REQUESTS)
    missed = promql.rate(names.DEADLINE_MISSES_TOTAL, _PIPELINE)
    return (
        panel_kinds.tile(
            "Requests",
            "Requests answered each second, whatever their outcome.",
            answered,
            unit="reqps",
        ),
        panel_kinds.tile(
            "Errors",
            "Share of requests that failed through the mesh's fault; what callers did wrong, or "
            "cancelled, does not count.",
            promql.share(
                promql.total(
                    promql.or_zero(promql.rate(names.PREDICTIONS_TOTAL, _BAD)),
                ),
                answered,
            ),
            unit="percentunit",
            bad_from=(0.001, 0.01),
        ),
        panel_kinds.tile(
            "p99 latency",
            "Of 100 requests, 99 take no longer, in the gateway.",
            promql.quantile(0.99, names.PREDICTION_SECONDS, _REQUESTS),
            unit="s",
        ),
        panel_kinds.tile(
            "Degraded",
            "Share of requests whose answer was not wholly live: defaults, stale features or less.",
            promql.share(promql.total(promql.or_zero(degraded)), answered),
            unit="percentunit",
            bad_from=(0.01, 0.1),
        ),
        panel_kinds.tile(
            "Deadline misses",
            "Calls of hops each second that ran out of their budget.",
            promql.or_zero(missed),
            unit="cps",
            bad_from=(0.1, 1.0),
        ),
        panel_kinds.tile(
            "Targets down",
            "Processes that Prometheus could not scrape.",
            promql.or_zero("count(up == 0)"),
            unit="short",
            bad_from=(1, 2),
        ),
        panels_of_hops.worst_hop_first(_PIPELINE),
        panels_of_hops.spends_most(_PIPELINE),
        panels_of_hops.grew_most(_PIPELINE),
    )


def _time() -> tuple[Panel, ...]:
    return (
        panels_of_hops.time_by_part(_PIPELINE),
        percentiles(
            "Hops, p95",
            "Of 20 requests, 19 spend no longer in this hop. The dots are traces of single "
            "requests; a click opens one.",
            names.HOP_SECONDS,
            _PIPELINE,
            by=["hop"],
            levels=[0.95],
            width=12,
            exemplars=True,
        ),
        panels_of_hops.part_by_hop(
            "queue",
            "Time that requests wait inside a service before it works on them. It grows when the "
            "service has too little CPU or too few replicas.",
            _PIPELINE,
        ),
        panels_of_hops.part_by_hop(
            "network",
            "Time between gateway and service that neither of them has worked. It grows with the "
            "network, with large convoys, and with event loops that are behind.",
            _PIPELINE,
        ),
        panels_of_hops.part_by_hop(
            "work",
            "Time that a service works on requests. It grows with slow stores, models and steps.",
            _PIPELINE,
        ),
    )


def _pipelines() -> tuple[Panel, ...]:
    return (
        panel_kinds.lines(
            "Requests by pipeline",
            "Requests answered each second.",
            [Query(promql.rate(names.PREDICTIONS_TOTAL, _REQUESTS, ["pipeline"]), "{{pipeline}}")],
            unit="reqps",
        ),
        panel_kinds.lines(
            "Errors by pipeline",
            "Requests each second that failed through the mesh's fault, by gRPC status.",
            [
                Query(
                    promql.rate(names.PREDICTIONS_TOTAL, _BAD, ["pipeline", "outcome"]),
                    "{{pipeline}} {{outcome}}",
                )
            ],
            unit="reqps",
        ),
        percentiles(
            "Latency by pipeline",
            "How long requests take in the gateway, receipt to outcome. The dots are traces of "
            "single requests; a click opens one.",
            names.PREDICTION_SECONDS,
            _REQUESTS,
            by=["pipeline"],
            levels=[0.5, 0.99],
            exemplars=True,
        ),
    )
