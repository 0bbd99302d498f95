"""Counts outcomes, and tells of those that failed, were degraded, or are in the sample."""

from __future__ import annotations

import time

import structlog
from prometheus_client import Counter

from tailrace.gateway.convoy import Outcome
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.logs import failure_fields, sampled
from tailrace.v1 import ledger_pb2, prediction_service_pb2

_log = structlog.get_logger(__name__)
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

    def take(self, pipeline: str, request_id: str, received_ns: int, outcome: Outcome) -> None:
        """Takes note of an outcome.

        Args:
            pipeline: that was asked, or `_OTHER` where there is none of that name.
            request_id: of the request.
            received_ns: when it was received, on the monotonic clock.
            outcome: the answer or the error.
        """
        if isinstance(outcome, TailraceError):
            _PREDICTIONS.labels(pipeline, outcome.code.name).inc()
            _log.warning(
                "prediction failed",
                **_identity(pipeline, request_id, received_ns),
                **failure_fields(outcome),
            )
            return
        answered = self._answered.get(pipeline)
        if answered is None:
            answered = self._answered[pipeline] = _PREDICTIONS.labels(pipeline, "OK")
        answered.inc()
        degraded = outcome.quality != _LIVE
        if not degraded and not sampled(request_id, self._rate):
            return
        quality = prediction_service_pb2.Quality.Name(outcome.quality).removeprefix("QUALITY_")
        if degraded:
            _DEGRADED.labels(pipeline, quality).inc()
        _log.info(
            "prediction made",
            **_identity(pipeline, request_id, received_ns),
            **{
                names.EVENT_OUTCOME: "success",
                names.PIPELINE_VERSION: outcome.pipeline_version,
                names.QUALITY: quality,
            },
            **_ledger_fields(outcome.ledger),
        )


def _identity(pipeline: str, request_id: str, received_ns: int) -> dict[str, object]:
    return {
        names.REQUEST_ID: request_id[:128],
        names.PIPELINE: pipeline,
        names.EVENT_DURATION_NS: time.monotonic_ns() - received_ns,
    }


def _ledger_fields(ledger: ledger_pb2.Ledger) -> dict[str, int]:
    fields = {
        names.UNATTRIBUTED_NS: ledger.unattributed_ns,
        names.CONVOY_WAIT_NS: ledger.convoy_wait_ns,
        names.CONVOY_SIZE: ledger.convoy_rows,
    }
    for entry in ledger.entries:
        fields[names.hop_duration_field(entry.hop)] = entry.duration_ns
    return fields
