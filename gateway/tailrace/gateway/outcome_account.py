"""Takes note of outcomes: counts them, and has those told that failed, or are in a sample."""

from __future__ import annotations

from prometheus_client import Counter

from tailrace.gateway.asked import Asked
from tailrace.gateway.convoy import Outcome
from tailrace.gateway.outcome_line import quality_name, tell_answer, tell_failure
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.logs import sampled
from tailrace.v1 import prediction_service_pb2

_PREDICTIONS = Counter(names.PREDICTIONS_TOTAL, "Requests answered.", ["pipeline", "outcome"])
_DEGRADED = Counter(names.DEGRADED_TOTAL, "Answers that were not live.", ["pipeline", "quality"])
_LIVE = prediction_service_pb2.QUALITY_LIVE


class OutcomeAccount:
    """Takes note of every outcome once."""

    def __init__(self, log_sample_rate: float) -> None:
        """Keeps the share of requests that are told though all went well."""
        self._rate = log_sample_rate
        # To find a metric by its labels costs more than to count.
        self._answered: dict[str, Counter] = {}

    def take(self, asked: Asked, outcome: Outcome) -> None:
        """Takes note of an outcome.

        Args:
            asked: the request.
            outcome: the answer or the error.
        """
        if isinstance(outcome, TailraceError):
            _PREDICTIONS.labels(asked.pipeline, outcome.code.name).inc()
            tell_failure(asked, outcome)
            return
        answered = self._answered.get(asked.pipeline)
        if answered is None:
            answered = self._answered[asked.pipeline] = _PREDICTIONS.labels(asked.pipeline, "OK")
        answered.inc()
        degraded = outcome.quality != _LIVE
        if degraded:
            _DEGRADED.labels(asked.pipeline, quality_name(outcome.quality)).inc()
        if degraded or sampled(asked.request_id, self._rate):
            tell_answer(asked, outcome)
