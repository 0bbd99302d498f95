"""Responses: prediction columns split into rows, with quality and ledger."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tailrace.gateway.convoy import Convoy
from tailrace.runtime.columns import Array, Block, DType
from tailrace.runtime.errors import Internal, TailraceError
from tailrace.runtime.wire import array_to_tensor, block_from_proto
from tailrace.v1 import (
    feature_service_pb2,
    ledger_pb2,
    prediction_service_pb2,
    tensor_pb2,
)

_FRESH = feature_service_pb2.FEATURE_STATE_FRESH
_VIEW_DEGRADATIONS = (
    (
        feature_service_pb2.FEATURE_STATE_STALE,
        "on_stale",
        "stale",
        prediction_service_pb2.QUALITY_STALE_FEATURES,
    ),
    (
        feature_service_pb2.FEATURE_STATE_MISSING,
        "on_missing",
        "missing",
        prediction_service_pb2.QUALITY_DEFAULT_FEATURES,
    ),
)

Response = prediction_service_pb2.PredictResponse


def responses_of(convoy: Convoy) -> list[Response | TailraceError]:
    """Returns one response or error per row of a convoy that has run, in row order."""
    outcomes: list[Response | TailraceError] = [
        row.error or Internal("the chain ended without an answer") for row in convoy.rows
    ]
    reasons = _quality_reasons(convoy)
    predictions = _predictions(convoy)
    for index, prediction in predictions.items():
        row = convoy.rows[index]
        if row.error is not None:
            continue
        response = Response(
            request_id=row.request_id,
            prediction=prediction,
            pipeline=convoy.pipeline.name,
            pipeline_version=convoy.pipeline.version,
            model=prediction_service_pb2.ModelVersion(
                name=convoy.model_name, version=convoy.model_versions.get(index, "")
            ),
            quality=prediction_service_pb2.QUALITY_LIVE,
        )
        row_reasons = reasons.get(index)
        if row_reasons:
            response.quality_reasons.extend(row_reasons)
            response.quality = max(reason.quality for reason in row_reasons)
        outcomes[index] = response
    _add_ledgers(convoy, outcomes)
    return outcomes


def _add_ledgers(convoy: Convoy, outcomes: list[Response | TailraceError]) -> None:
    # Last of all, so that the total covers everything before it.
    received_ns = convoy.rows[0].received_ns
    entries, critical_ns = convoy.book.entries(received_ns)
    total_ns = time.monotonic_ns() - received_ns
    for row, outcome in zip(convoy.rows, outcomes, strict=True):
        if isinstance(outcome, Response):
            outcome.ledger.CopyFrom(
                ledger_pb2.Ledger(
                    entries=entries,
                    total_ns=total_ns,
                    unattributed_ns=total_ns - critical_ns,
                    deadline_ns=row.granted_ns,
                )
            )


def _quality_reasons(
    convoy: Convoy,
) -> dict[int, list[prediction_service_pb2.QualityReason]]:
    reasons: dict[int, list[prediction_service_pb2.QualityReason]] = {}

    def add(row: int, quality: int, detail: str) -> None:
        reasons.setdefault(row, []).append(
            prediction_service_pb2.QualityReason(
                quality=quality,  # type: ignore[arg-type]  # a plain number is accepted
                hop=ledger_pb2.HOP_FEATURES,
                detail=detail,
            )
        )

    for degradation in convoy.degradations:
        for row in degradation.rows:
            add(row, degradation.quality, degradation.detail)
    policies = {plan.view.view: plan.view for plan in convoy.pipeline.views}
    for lookup in convoy.views:
        if lookup.states.count(_FRESH) == len(lookup.states):
            continue
        states = np.frombuffer(lookup.states, np.uint8)
        for state, policy, word, quality in _VIEW_DEGRADATIONS:
            if getattr(policies[lookup.view], policy) != "default":
                continue
            for place in np.flatnonzero(states == state).tolist():
                add(convoy.view_rows[place], quality, f"{lookup.view}: {word}")
    return reasons


def _predictions(convoy: Convoy) -> dict[int, dict[str, tensor_pb2.Value]]:
    rows = convoy.prediction_rows
    predictions: dict[int, dict[str, tensor_pb2.Value]] = {row: {} for row in rows}
    for place, message in enumerate(convoy.prediction_blocks):
        block = block_from_proto(message, len(rows), f"prediction[{place}]")
        for name_place, name in enumerate(block.names):
            for row, value in zip(rows, _values(block, name_place), strict=True):
                predictions[row][name] = value
    return predictions


def _values(block: Block, place: int) -> list[tensor_pb2.Value]:
    column = block.values[place]
    if column.ndim > 1:
        values = [
            tensor_pb2.Value(tensor_value=array_to_tensor(element, block.dtype))
            for element in column
        ]
    else:
        values = [_scalar(element, block.dtype) for element in column.tolist()]
    if block.validity is not None:
        for row in np.flatnonzero(~block.validity[place]).tolist():
            values[row] = tensor_pb2.Value()
    return values


def _scalar(element: Any, dtype: DType) -> tensor_pb2.Value:
    if dtype is DType.STRING:
        return tensor_pb2.Value(string_value=element)
    if dtype is DType.BYTES:
        return tensor_pb2.Value(bytes_value=element)
    if dtype is DType.BOOL:
        return tensor_pb2.Value(bool_value=element)
    if dtype is DType.TIMESTAMP:
        value = tensor_pb2.Value()
        value.timestamp_value.FromMicroseconds(element)
        return value
    if dtype.is_floating:
        return tensor_pb2.Value(double_value=element)
    if dtype is DType.UINT64 and element >= 2**63:
        array: Array = np.array([element], np.uint64)
        return tensor_pb2.Value(tensor_value=array_to_tensor(array.reshape(()), dtype))
    return tensor_pb2.Value(int64_value=element)
