"""The one line that a request leaves in the log: what became of it, and where its time went."""

from __future__ import annotations

import time

import structlog

from tailrace.gateway.asked import Asked
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.logs import failure_fields
from tailrace.v1 import ledger_pb2, prediction_service_pb2

_log = structlog.get_logger(__name__)


def tell_failure(asked: Asked, error: TailraceError) -> None:
    """Writes the line of a request that failed."""
    _log.warning("prediction failed", **_identity(asked), **failure_fields(error))


def tell_answer(asked: Asked, response: prediction_service_pb2.PredictResponse) -> None:
    """Writes the line of a request that has its answer."""
    _log.info(
        "prediction made",
        **_identity(asked),
        **{
            names.EVENT_OUTCOME: "success",
            names.PIPELINE_VERSION: response.pipeline_version,
            names.QUALITY: quality_name(response.quality),
        },
        **_ledger_fields(response.ledger),
    )


def quality_name(quality: prediction_service_pb2.Quality.ValueType) -> str:
    """Returns the name of a quality, such as `LIVE`."""
    return prediction_service_pb2.Quality.Name(quality).removeprefix("QUALITY_")


def _identity(asked: Asked) -> dict[str, object]:
    return {
        names.TRACE_ID: asked.trace.trace_id,
        names.SPAN_ID: asked.trace.span_id,
        names.REQUEST_ID: asked.request_id[:128],
        names.PIPELINE: asked.pipeline,
        names.EVENT_DURATION_NS: time.monotonic_ns() - asked.received_ns,
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
