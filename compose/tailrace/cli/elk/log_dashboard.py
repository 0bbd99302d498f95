"""What the logs are asked in Kibana: where the time went, what failed, what was delivered."""

from __future__ import annotations

from typing import Any

from tailrace.cli.elk.saved_objects import (
    DASHBOARD,
    bucket,
    dashboard,
    data_view,
    metric,
    over_time,
    search,
    top,
    visualization,
)
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.placement import HOPS

MADE = 'message:"prediction made"'
FAILED = 'message:"prediction failed"'
REQUESTS = f"({MADE} OR {FAILED})"
# By couriers and by the gateway: what became of submissions, and of pushing their results.
DELIVERIES = f'({names.EVENT_DATASET}:"tailrace.courier" OR message:submission)'

_WHO = (names.PIPELINE, names.TENANT, names.REQUEST_ID, names.TRACE_ID)
_WHAT = ("message", names.ERROR_CODE, names.REASON, names.ERROR_MESSAGE)
_NEWEST = ("@timestamp", "desc")
_BIN_NS = 5_000_000


def saved_objects() -> list[dict[str, Any]]:
    """Returns everything that is imported, what is referred to first."""
    charts = _charts()
    searches = _searches()
    panels = [(chart, 48 if chart["id"].endswith("by-hop") else 24, 14) for chart in charts]
    panels += [(each, 48, 16) for each in searches]
    shown = dashboard(DASHBOARD, "Tailrace: logs", panels)
    return [data_view(), *searches, *charts, shown]


def _searches() -> list[dict[str, Any]]:
    hops = [names.hop_field(hop, "duration_ns") for hop in HOPS]
    return [
        search(
            "tailrace-slowest",
            "Tailrace: slowest requests",
            REQUESTS,
            [names.EVENT_DURATION_NS, *hops, names.CONVOY_WAIT_NS, *_WHO],
            (names.EVENT_DURATION_NS, "desc"),
        ),
        search(
            "tailrace-failures",
            "Tailrace: what failed",
            f"{names.EVENT_OUTCOME}:failure",
            [names.SERVICE_NAME, names.FAILED_HOP, *_WHAT, *_WHO],
            _NEWEST,
        ),
        search(
            "tailrace-degraded",
            "Tailrace: answers that were not live",
            f"{MADE} AND NOT {names.QUALITY}:LIVE",
            [names.QUALITY, names.QUALITY_REASONS, names.VIEW_STATE, names.VIEW_AGE_NS, *_WHO],
            _NEWEST,
        ),
        search(
            "tailrace-deliveries",
            "Tailrace: submissions and deliveries",
            DELIVERIES,
            [names.SERVICE_NAME, *_WHAT, names.PREDICTION_ID, names.CALLBACK, *_WHO],
            _NEWEST,
        ),
    ]


def _charts() -> list[dict[str, Any]]:
    return [
        visualization(
            "tailrace-latency-by-hop",
            "Tailrace: latency by hop, 95th percentile",
            "line",
            REQUESTS,
            [
                *(
                    metric("percentiles", names.hop_field(hop, "duration_ns"), hop, percents=[95])
                    for hop in HOPS
                ),
                over_time(),
            ],
        ),
        visualization(
            "tailrace-latency-heatmap",
            "Tailrace: latency",
            "heatmap",
            REQUESTS,
            [
                metric("count"),
                over_time(),
                bucket(
                    "histogram",
                    "group",
                    names.EVENT_DURATION_NS,
                    "latency",
                    interval=_BIN_NS,
                    min_doc_count=1,
                ),
            ],
        ),
        visualization(
            "tailrace-errors-by-reason",
            "Tailrace: failed requests by reason",
            "histogram",
            FAILED,
            [metric("count"), over_time(), top(names.REASON, "reason")],
        ),
        visualization(
            "tailrace-timeouts-by-hop",
            "Tailrace: hop that the time ran out at",
            "histogram",
            f"{FAILED} AND {names.ERROR_CODE}:DEADLINE_EXCEEDED",
            [metric("count"), over_time(), top(names.FAILED_HOP, "hop")],
        ),
        visualization(
            "tailrace-slow-pipelines",
            "Tailrace: latency by pipeline",
            "table",
            REQUESTS,
            [
                metric("count"),
                metric("percentiles", names.EVENT_DURATION_NS, "latency", percents=[50, 95, 99]),
                metric("max", names.EVENT_DURATION_NS, "slowest"),
                top(names.PIPELINE, "pipeline", "bucket"),
            ],
        ),
        visualization(
            "tailrace-delivery-lines",
            "Tailrace: outcomes of submissions and deliveries",
            "histogram",
            DELIVERIES,
            [metric("count"), over_time(), top(names.EVENT_OUTCOME, "outcome")],
        ),
    ]
