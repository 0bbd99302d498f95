"""Metrics of the calls to models."""

from __future__ import annotations

import functools

from prometheus_client import Gauge

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import Code
from tailrace.runtime.histogram import Histogram, Series

MODEL_CALL_SECONDS = Histogram(
    names.MODEL_CALL_SECONDS,
    "Time that the model backend took for a call.",
    ["model", "code"],
    bounds=names.LATENCY_BUCKETS_S,
)
MODEL_READY = Gauge(names.MODEL_READY, "1 if a wanted version of the model is ready.", ["model"])


@functools.cache
def call_timer(model: str, code: Code) -> Series:
    """Returns where to note the time of a call; both labels come from small sets."""
    return MODEL_CALL_SECONDS.labels(model, code.name)
