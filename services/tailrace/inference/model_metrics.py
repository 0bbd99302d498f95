"""Metrics of the calls to models."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

from tailrace.runtime import telemetry_names as names

MODEL_CALL_SECONDS = Histogram(
    names.MODEL_CALL_SECONDS,
    "Time that the model backend took for a call.",
    ["model", "code"],
    buckets=names.LATENCY_BUCKETS_S,
)
MODEL_READY = Gauge(names.MODEL_READY, "1 if a wanted version of the model is ready.", ["model"])
