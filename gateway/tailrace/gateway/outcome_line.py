"""The one line that a request leaves in the log: what became of it, and where its time went."""

from __future__ import annotations

import time

import structlog

from tailrace.gateway.asked import Asked
from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.ledger import HOP_NUMBERS, HopParts
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import Code, TailraceError
from tailrace.runtime.hop_answer import ViewStates
from tailrace.runtime.logs import TOLD, failure_fields, may_tell_failure, process_privacy
from tailrace.v1 import (
    batch_pb2,
    feature_service_pb2,
    ledger_pb2,
    prediction_service_pb2,
    tensor_pb2,
)

_log = structlog.get_logger(__name__)

_HOP_NAMES: dict[int, str] = {number: name for name, number in HOP_NUMBERS.items()}
_PLACEMENTS: dict[int, str] = {
    number: name.removeprefix("PLACEMENT_") for name, number in ledger_pb2.Placement.items()
}
# Names of the fields of each hop, in the order in which `_add_hop` tells them.
_TOLD_PARTS = (
    "start_ns", "duration_ns", "queue_ns", "network_ns", "work_ns", "budget_ns", "attempts",
    "placement", "code",
)  # fmt: skip
_HOP_FIELDS = {
    hop: tuple(names.hop_field(hop, part) for part in _TOLD_PARTS) for hop in HOP_NUMBERS
}
_STATE_NAMES: dict[int, str] = {
    number: name.removeprefix("FEATURE_STATE_")
    for name, number in feature_service_pb2.FeatureState.items()
}
_WORST_FIRST = (
    feature_service_pb2.FEATURE_STATE_MISSING,
    feature_service_pb2.FEATURE_STATE_NOT_KEPT,
    feature_service_pb2.FEATURE_STATE_STALE,
    feature_service_pb2.FEATURE_STATE_FRESH,
)

RUNNING = "RUNNING"
"""In place of the code of a hop that had not answered when the request got its outcome."""


def tell_failure(asked: Asked, error: TailraceError) -> None:
    """Writes the line of a request that failed, with the ledger as far as it came.

    In a storm of failures of one reason, only so many have a line.
    """
    if not may_tell_failure(error.reason.name):
        return
    fields = {**_identity(asked), **failure_fields(error)}
    convoy = convoy_of(asked)
    if isinstance(asked, ConvoyRow) and convoy is not None:
        now_ns = time.monotonic_ns()
        fields[names.PIPELINE_VERSION] = convoy.pipeline.version
        fields[names.TOTAL_NS] = now_ns - asked.received_ns
        fields[names.CONVOY_WAIT_NS] = convoy.departed_ns - asked.received_ns
        fields[names.CONVOY_SIZE] = len(convoy.rows)
        _add_so_far(fields, asked, convoy, now_ns)
        _add_views(fields, asked, convoy)
    _log.warning("prediction failed", **fields, **{TOLD: True})


def tell_answer(asked: Asked, response: prediction_service_pb2.PredictResponse) -> None:
    """Writes the line of a request that has its answer."""
    ledger = response.ledger
    fields = {
        **_identity(asked),
        names.EVENT_OUTCOME: "success",
        names.PIPELINE_VERSION: response.pipeline_version,
        names.MODEL: response.model.name,
        names.MODEL_VERSION: response.model.version,
        names.QUALITY: quality_name(response.quality),
        names.TOTAL_NS: ledger.total_ns,
        names.UNATTRIBUTED_NS: ledger.unattributed_ns,
        names.CONVOY_WAIT_NS: ledger.convoy_wait_ns,
        names.CONVOY_SIZE: ledger.convoy_rows,
    }
    if response.quality_reasons:
        fields[names.QUALITY_REASONS] = [reason.detail for reason in response.quality_reasons]
    _add_answered(fields, ledger)
    convoy = convoy_of(asked)
    if isinstance(asked, ConvoyRow) and convoy is not None:
        _add_views(fields, asked, convoy)
    _log.info("prediction made", **fields)


def quality_name(quality: prediction_service_pb2.Quality.ValueType) -> str:
    """Returns the name of a quality, such as `LIVE`."""
    return prediction_service_pb2.Quality.Name(quality).removeprefix("QUALITY_")


def convoy_of(asked: Asked) -> Convoy | None:
    """Returns the convoy that a request departed in, if it did."""
    if not isinstance(asked, ConvoyRow) or asked.holder is None:
        return None
    return asked.holder.convoy


def _identity(asked: Asked) -> dict[str, object]:
    fields: dict[str, object] = {
        names.TRACE_ID: asked.trace.trace_id,
        names.SPAN_ID: asked.trace.span_id,
        names.REQUEST_ID: asked.request_id[:128],
        names.PIPELINE: asked.pipeline,
        names.EVENT_DURATION_NS: time.monotonic_ns() - asked.received_ns,
    }
    if isinstance(asked, ConvoyRow):
        fields[names.DEADLINE_NS] = asked.granted_ns
        fields[names.PRIORITY] = batch_pb2.Priority.Name(asked.priority).removeprefix("PRIORITY_")
        if asked.tenant:
            fields[names.TENANT] = asked.tenant[:128]
        fields.update(asked.log_fields())
        payload = process_privacy().payload(asked.fields, _text_of)
        if payload:
            fields[names.REQUEST_FIELDS] = payload
    return fields


def _add_answered(fields: dict[str, object], ledger: ledger_pb2.Ledger) -> None:
    for entry in ledger.entries:
        parts = HopParts(entry.duration_ns, entry.queue_ns, entry.network_ns, entry.work_ns)
        _add_hop(
            fields,
            _HOP_NAMES[entry.hop],
            entry.start_ns,
            parts,
            budget_ns=entry.budget_ns,
            attempts=entry.attempts,
            placement=entry.placement,
            code=Code(entry.code).name,
        )
        fields[names.hop_field(_HOP_NAMES[entry.hop], "critical")] = entry.critical
        if entry.code != Code.OK:
            fields[names.FAILED_HOP] = _HOP_NAMES[entry.hop]


def _add_so_far(fields: dict[str, object], row: ConvoyRow, convoy: Convoy, now_ns: int) -> None:
    """Adds what the hops have spent; one that still runs is where the time ran out."""
    failed_hop = interrupted_hop = ""
    for spending in convoy.book.spent:
        # Spending has gone on for the others of the convoy where this one left early.
        running = not spending.end_ns
        code = RUNNING if running else Code(spending.code).name
        _add_hop(
            fields,
            spending.hop,
            spending.start_ns - convoy.departed_ns,
            spending.parts(now_ns),
            budget_ns=max(spending.budget_ns, 0),
            attempts=spending.attempts,
            placement=spending.placement,
            code=code,
        )
        # What runs beside a hop that fails is broken off.
        if code in (RUNNING, Code.CANCELLED.name):
            interrupted_hop = spending.hop
        elif code != Code.OK.name:
            failed_hop = spending.hop
    failed_hop = row.failed_hop or failed_hop or interrupted_hop
    if failed_hop:
        fields[names.FAILED_HOP] = failed_hop


def _add_hop(
    fields: dict[str, object],
    hop: str,
    start_ns: int,
    parts: HopParts,
    *,
    budget_ns: int,
    attempts: int,
    placement: ledger_pb2.Placement.ValueType,
    code: str,
) -> None:
    values = (
        start_ns,
        parts.duration_ns,
        parts.queue_ns,
        parts.network_ns,
        parts.work_ns,
        budget_ns,
        attempts,
        _PLACEMENTS[placement],
        code,
    )
    fields.update(zip(_HOP_FIELDS[hop], values, strict=True))


def _add_views(fields: dict[str, object], row: ConvoyRow, convoy: Convoy) -> None:
    """Adds how old the features were, and which views had none to offer."""
    if not convoy.views:
        return
    try:
        place = convoy.view_rows.index(convoy.rows.index(row))
    except ValueError:
        return  # it had left before the lookup
    states = {view.view: view.states[place] for view in convoy.views if place < len(view.states)}
    fields[names.VIEW_STATES] = {view: _STATE_NAMES[state] for view, state in states.items()}
    worst = next((state for state in _WORST_FIRST if state in states.values()), None)
    if worst is not None:
        fields[names.VIEW_STATE] = _STATE_NAMES[worst]
    ages_us = [_age_us(view, place) for view in convoy.views]
    if max(ages_us, default=-1) >= 0:
        fields[names.VIEW_AGE_NS] = max(ages_us) * NS_PER_US


def _age_us(view: ViewStates, place: int) -> int:
    # Hops within this process tell no ages.
    ages: bytes = getattr(view, "age_us", b"")
    return int.from_bytes(ages[place * 8 : place * 8 + 8], "little", signed=True) if ages else -1


def _text_of(value: tensor_pb2.Value) -> str:
    """Returns a field of a request as text; of what is no scalar, how much of it there is."""
    kind = value.WhichOneof("kind")
    if kind is None:
        return "null"
    if kind == "timestamp_value":
        try:
            return value.timestamp_value.ToJsonString()
        except ValueError:  # whatever callers send: it may lie outside of the calendar
            return f"{value.timestamp_value.seconds} s since 1970"
    if kind == "bytes_value":
        return f"{len(value.bytes_value)} bytes"
    if kind == "tensor_value":
        return f"tensor of shape {list(value.tensor_value.shape)}"
    return str(getattr(value, kind))
