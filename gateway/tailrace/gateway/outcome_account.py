"""Takes note of outcomes: counts them, and has those told that failed, or are in a sample."""

from __future__ import annotations

from tailrace.gateway.asked import Asked
from tailrace.gateway.convoy import Outcome
from tailrace.gateway.outcome_counts import OutcomeCounts
from tailrace.gateway.outcome_line import tell_answer, tell_failure
from tailrace.gateway.request_spans import RequestSpans
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.logs import sampled
from tailrace.v1 import prediction_service_pb2

_LIVE = prediction_service_pb2.QUALITY_LIVE


class OutcomeAccount:
    """Takes note of every outcome once."""

    def __init__(self, log_sample_rate: float, spans: RequestSpans | None = None) -> None:
        """Keeps the parts.

        Args:
            log_sample_rate: share of requests that have a line in the log though all went well.
            spans: tells the requests that are traced; None where none is.
        """
        self._rate = log_sample_rate
        self._spans = spans
        self._counts = OutcomeCounts()

    def take(self, asked: Asked, outcome: Outcome) -> None:
        """Takes note of an outcome.

        Args:
            asked: the request.
            outcome: the answer or the error.
        """
        told = self._spans is not None and self._spans.take(asked, outcome)
        self._counts.take(asked, outcome, told)
        if isinstance(outcome, TailraceError):
            tell_failure(asked, outcome)
            return
        if outcome.quality != _LIVE or sampled(asked.request_id, self._rate):
            tell_answer(asked, outcome)
