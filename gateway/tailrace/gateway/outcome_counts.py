"""Counts requests by pipeline and outcome: rate, errors, duration, and answers that were not live.

The objectives of a pipeline are bounds of its durations, those of every version loaded so far: an
objective that goes leaves its bound, and a pipeline that goes leaves its series.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tailrace.gateway.asked import Asked
from tailrace.gateway.convoy import Outcome
from tailrace.gateway.outcome_line import quality_name
from tailrace.gateway.predictions import VIEW_REASONS, degradation_reason
from tailrace.gateway.usual_failures import usual_failures
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.counter import Counter
from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.fault_codes import SERVICES_FAULTS
from tailrace.runtime.histogram import Histogram
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.v1 import prediction_service_pb2

_PREDICTIONS = Counter(
    names.PREDICTIONS_TOTAL, "Requests by their outcome.", ["pipeline", "outcome"]
)
_SECONDS = Histogram(
    names.PREDICTION_SECONDS,
    "Time from the receipt of a request to its outcome, ok or error.",
    ["pipeline", "outcome"],
    bounds=names.LATENCY_BUCKETS_S,
)
_DEGRADED = Counter(
    names.DEGRADED_TOTAL,
    "Answers that were not live, each once: by their quality, and the first reason for it.",
    ["pipeline", "quality", "reason"],
)
_LIVE = prediction_service_pb2.QUALITY_LIVE


class _Answered:
    """The series of one pipeline's answers."""

    __slots__ = ("count", "seconds")

    def __init__(self, pipeline: str) -> None:
        self.count = _PREDICTIONS.labels(pipeline, "OK")
        self.seconds = _SECONDS.labels(pipeline, "ok")


class OutcomeCounts:
    """Counts every outcome once."""

    def __init__(self) -> None:
        """Knows no pipeline yet."""
        # To find a series by its labels costs more than to count.
        self._answered: dict[str, _Answered] = {}

    def take(self, asked: Asked, outcome: Outcome, told: bool) -> None:
        """Counts an outcome, now.

        Args:
            asked: the request.
            outcome: the answer or the error.
            told: whether there are spans of the request, which its duration can point to.
        """
        pipeline = asked.pipeline
        duration_s = (time.monotonic_ns() - asked.received_ns) / NS_PER_S
        trace_id = asked.trace.trace_id if told else ""
        if isinstance(outcome, TailraceError):
            _PREDICTIONS.labels(pipeline, outcome.code.name).inc()
            _SECONDS.labels(pipeline, "error").observe(duration_s, 1, trace_id)
            return
        answered = self._answered.get(pipeline)
        if answered is None:
            answered = self._answered[pipeline] = _Answered(pipeline)
        answered.count.value += 1
        answered.seconds.observe(duration_s, 1, trace_id)
        if outcome.quality != _LIVE:
            reason = degradation_reason(outcome)
            _DEGRADED.labels(pipeline, quality_name(outcome.quality), reason).inc()


def prepare_counts(pipeline: Pipeline) -> None:
    """Makes the series of a pipeline: at zero, and with its latency objectives as bounds."""
    # Prometheus takes no growth from a series that begins above zero: the first errors of a code
    # would cost no availability.
    for code in ("OK", *SERVICES_FAULTS):
        _PREDICTIONS.labels(pipeline.name, code)
    for quality, reason in _usual_degradations(pipeline):
        _DEGRADED.labels(pipeline.name, quality_name(quality), reason)
    bounds_s = pipeline.spec.slo.latency_bounds_s()
    for outcome in ("ok", "error"):
        _SECONDS.labels(pipeline.name, outcome, more_bounds=bounds_s)


def _usual_degradations(
    pipeline: Pipeline,
) -> Iterator[tuple[prediction_service_pb2.Quality.ValueType, str]]:
    if pipeline.views:
        yield from VIEW_REASONS
        if pipeline.spec.features.on_failure == "defaults":
            for reason in usual_failures("features"):
                yield prediction_service_pb2.QUALITY_DEFAULT_FEATURES, reason
