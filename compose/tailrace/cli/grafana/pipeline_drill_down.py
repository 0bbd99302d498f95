"""The dashboard of one pipeline."""

from __future__ import annotations

from tailrace.cli.grafana import panel_kinds, panels_of_hops, promql
from tailrace.cli.grafana.dashboard import Dashboard, Row, query_variable
from tailrace.cli.grafana.histogram_panels import percentiles, spread
from tailrace.cli.grafana.panel import Panel, Query
from tailrace.runtime import telemetry_names as names

_PIPELINE = 'pipeline="$pipeline"'
_REQUESTS = f"{promql.CALLERS}, {_PIPELINE}"
_HOP = f'{_PIPELINE}, hop=~"$hop"'


def pipeline_drill_down() -> Dashboard:
    """Returns the drill-down: one pipeline, its hops, its load and its budgets."""
    return Dashboard(
        uid="tailrace-pipeline",
        title="Tailrace: pipeline",
        description="One pipeline: how long requests take, in which hop, under which load, of "
        "which budget, and how they were answered.",
        rows=(
            Row("Requests", _requests()),
            Row("Hops", _hops()),
            Row("Latency and load", _load()),
            Row("Budgets", _budgets()),
            Row("Answers that were not live", _degraded()),
        ),
        variables=(
            query_variable("pipeline", "Pipeline", names.PREDICTIONS_TOTAL, several=False),
            query_variable("hop", "Hop", f"{names.HOP_SECONDS}_count"),
            *panels_of_hops.COMPARISON,
        ),
    )


def _requests() -> tuple[Panel, ...]:
    return (
        spread(
            "Latency",
            "How many requests took how long: the darker, the more. Two bands are two kinds of "
            "requests, such as those with and without a cache hit. The dots are traces of single "
            "requests; a click opens one.",
            names.PREDICTION_SECONDS,
            _REQUESTS,
            exemplars=True,
        ),
        percentiles(
            "Latency, percentiles",
            "How long requests take in the gateway, receipt to outcome. The dots are traces of "
            "single requests.",
            names.PREDICTION_SECONDS,
            _REQUESTS,
            levels=[0.5, 0.9, 0.95, 0.99],
            width=6,
            exemplars=True,
        ),
        panel_kinds.lines(
            "Outcomes",
            "Requests each second by gRPC status; OK for answers.",
            [Query(promql.rate(names.PREDICTIONS_TOTAL, _REQUESTS, ["outcome"]), "{{outcome}}")],
            unit="reqps",
            width=6,
            stacked=True,
        ),
    )


def _hops() -> tuple[Panel, ...]:
    return (
        panels_of_hops.worst_hop_first(_PIPELINE),
        panels_of_hops.spends_most(_PIPELINE),
        panels_of_hops.grew_most(_PIPELINE),
        panels_of_hops.time_by_part(_HOP),
        spread(
            "Time in the hop",
            "How many requests spent how long in the hops that are chosen above; choose one to "
            "see it alone. The dots are traces of single requests.",
            names.HOP_SECONDS,
            _HOP,
            exemplars=True,
        ),
        percentiles(
            "Hops, percentiles",
            "Time that requests spend in each hop, all attempts included.",
            names.HOP_SECONDS,
            _HOP,
            by=["hop"],
            width=6,
            exemplars=True,
        ),
        panels_of_hops.part_by_hop(
            "queue", "Time that requests wait inside the service before it works.", _HOP, width=6
        ),
        panels_of_hops.part_by_hop(
            "network", "Time between gateway and service that neither has worked.", _HOP, width=6
        ),
        panels_of_hops.part_by_hop("work", "Time that the service works.", _HOP, width=6),
    )


def _load() -> tuple[Panel, ...]:
    latency = promql.quantile(0.95, names.PREDICTION_SECONDS, _REQUESTS)
    rate = promql.rate(names.PREDICTIONS_TOTAL, _REQUESTS)
    rows = promql.mean(names.CONVOY_ROWS, _PIPELINE)
    queued = promql.total(promql.selector(names.QUEUED_ROWS, _PIPELINE))
    return (
        panel_kinds.scatter(
            "Latency against rate",
            "Each point is an instant of the time shown above. Level: the mesh has room. Rising "
            "at the right end: the rate there is more than it can do. High points at the left: "
            "something else than load made it slow.",
            ("Requests per second", rate, "reqps"),
            ("p95 latency", latency, "s"),
            width=8,
        ),
        panel_kinds.scatter(
            "Latency against convoy size",
            "Each point is an instant. Latency that rises with the size is work that grows with "
            "the rows: steps, lookups or the model.",
            ("Requests of a convoy", rows, "short"),
            ("p95 latency", latency, "s"),
            width=8,
        ),
        panel_kinds.scatter(
            "Latency against waiting requests",
            "Each point is an instant. Latency that rises with the number of requests that wait "
            "for a convoy is queueing at the gateway.",
            ("Requests waiting", queued, "short"),
            ("p95 latency", latency, "s"),
            width=8,
        ),
        spread(
            "Requests of a convoy",
            "How many convoys carried how many requests.",
            names.CONVOY_ROWS,
            _PIPELINE,
            unit="short",
        ),
        percentiles(
            "Wait for departure",
            "How long the first request of a convoy waited until it left.",
            names.CONVOY_WAIT_SECONDS,
            _PIPELINE,
            width=6,
        ),
        panel_kinds.lines(
            "Under way and waiting",
            "Convoys between departure and return, and requests that wait for one.",
            [
                Query(promql.total(promql.selector(names.CONVOYS_IN_FLIGHT, _PIPELINE)), "convoys"),
                Query(queued, "requests waiting"),
            ],
            unit="short",
            width=6,
        ),
    )


def _budgets() -> tuple[Panel, ...]:
    return (
        percentiles(
            "Budget granted",
            "Time that a hop may take at most: its cap, or what is left of the deadline less what "
            "later hops need. The median, and the 5 % that got the least.",
            names.HOP_BUDGET_SECONDS,
            _HOP,
            by=["hop"],
            levels=[0.05, 0.5],
        ),
        percentiles(
            "Budget spent",
            "Share of its budget that a hop spent. At 100 % the call ends with a deadline miss; "
            "p99 above 80 % has no room for a bad day.",
            names.HOP_BUDGET_SPENT_RATIO,
            _HOP,
            unit="percentunit",
            by=["hop"],
            levels=[0.5, 0.99],
        ),
        panel_kinds.lines(
            "Deadline misses and refusals",
            "Calls of hops each second that ran out of budget, and requests that were refused on "
            "arrival.",
            [
                Query(promql.rate(names.DEADLINE_MISSES_TOTAL, _HOP, ["hop"]), "missed: {{hop}}"),
                Query(
                    promql.rate(names.REFUSED_TOTAL, _PIPELINE, ["reason"]), "refused: {{reason}}"
                ),
            ],
            unit="reqps",
        ),
        spread(
            "Share of the budget spent",
            "How many requests spent which share of the budget of the hops that are chosen above.",
            names.HOP_BUDGET_SPENT_RATIO,
            _HOP,
            unit="percentunit",
            width=24,
        ),
    )


def _degraded() -> tuple[Panel, ...]:
    answered = promql.rate(names.PREDICTIONS_TOTAL, _REQUESTS)
    return (
        panel_kinds.lines(
            "Degraded answers by reason",
            "Answers each second that were not wholly live, by quality and reason.",
            [
                Query(
                    promql.rate(names.DEGRADED_TOTAL, _REQUESTS, ["quality", "reason"]),
                    "{{quality}}: {{reason}}",
                )
            ],
            unit="reqps",
            stacked=True,
        ),
        panel_kinds.lines(
            "Share of degraded answers",
            "Of all requests, those whose answer was not wholly live.",
            [
                Query(
                    promql.share(
                        promql.total(
                            promql.or_zero(promql.rate(names.DEGRADED_TOTAL, _REQUESTS)),
                        ),
                        answered,
                    ),
                    "degraded",
                )
            ],
            unit="percentunit",
        ),
        panel_kinds.lines(
            "Calls of hops that failed",
            "Requests each second whose call of a hop failed as a whole, by reason: what "
            "degradations come from, and errors where the pipeline has none.",
            [
                Query(
                    promql.rate(names.HOP_FAILURES_TOTAL, _HOP, ["hop", "reason"]),
                    "{{hop}} {{reason}}",
                )
            ],
            unit="reqps",
        ),
        panel_kinds.lines(
            "Feature rows by state",
            "Looked-up rows each second: fresh, older than the view allows (stale), unknown "
            "(missing), or of an instant that is no longer kept.",
            [
                Query(
                    promql.rate(names.FEATURE_ROWS_TOTAL, _PIPELINE, ["view", "state"]),
                    "{{view}} {{state}}",
                )
            ],
            unit="ops",
            width=12,
        ),
        panel_kinds.lines(
            "Attempts of hop calls",
            "Calls made to each hop each second, attempts after failures included.",
            [Query(promql.rate(names.HOP_ATTEMPTS_TOTAL, _HOP, ["hop"]), "{{hop}}")],
            unit="cps",
            width=12,
        ),
    )
