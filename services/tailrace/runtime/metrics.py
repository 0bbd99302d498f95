"""Metrics that every service shares."""

from __future__ import annotations

from importlib import metadata

from prometheus_client import Gauge, disable_created_metrics

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.counter import Counter
from tailrace.runtime.histogram import Histogram

# One more series for each, of which only few servers make use.
disable_created_metrics()  # type: ignore[no-untyped-call]

CALLS = Counter(names.CALLS_TOTAL, "Calls answered.", ["method", "code"])
CALL_SECONDS = Histogram(
    names.CALL_SECONDS, "Time to answer a call.", ["method"], bounds=names.LATENCY_BUCKETS_S
)
CALLS_IN_FLIGHT = Gauge(names.CALLS_IN_FLIGHT, "Calls being answered.")
ROW_FAILURES = Counter(names.ROW_FAILURES_TOTAL, "Rows that failed.", ["hop", "reason"])
_BUILD_INFO = Gauge(
    names.BUILD_INFO,
    "1, with what the process is as labels.",
    ["service", "version", "environment"],
)


def tell_build(service: str, environment: str) -> None:
    """Tells what this process is.

    Args:
        service: its short name, such as `ingest`.
        environment: where it runs, as its settings say.
    """
    _BUILD_INFO.labels(service, metadata.version("tailrace"), environment).set(1)
