"""Responses: prediction columns split into rows, with quality and ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tailrace.gateway.convoy import Convoy, Outcome
from tailrace.gateway.list_keys import Fields, list_length
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import Internal
from tailrace.runtime.wire import array_to_tensor, to_block
from tailrace.v1 import (
    feature_service_pb2,
    ledger_pb2,
    prediction_service_pb2,
    tensor_pb2,
)

# How the details of degradations of a call as a whole begin, before the name of its reason.
FAILED = "features failed: "

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
    (
        feature_service_pb2.FEATURE_STATE_NOT_KEPT,
        "on_missing",
        "not kept for this instant",
        prediction_service_pb2.QUALITY_DEFAULT_FEATURES,
    ),
)

_REASONS = {"stale": "stale", "missing": "missing", "not kept for this instant": "not_kept"}

VIEW_REASONS = tuple((quality, _REASONS[word]) for _, _, word, quality in _VIEW_DEGRADATIONS)
"""Quality and reason of answers for which rows of views were not fresh."""

Response = prediction_service_pb2.PredictResponse


def responses_of(convoy: Convoy) -> list[Outcome]:
    """Returns one response or error per row of a convoy that has run, in row order."""
    outcomes: list[Outcome] = [
        row.error or Internal("the chain ended without an answer") for row in convoy.rows
    ]
    responses = _bare_responses(convoy)
    _add_predictions(convoy, responses)
    for index, reasons in _quality_reasons(convoy).items():
        response = responses.get(index)
        if response is not None:
            response.quality_reasons.extend(reasons)
            response.quality = max(reason.quality for reason in reasons)
    _add_ledgers(convoy, responses)
    for index, response in responses.items():
        outcomes[index] = response
    return outcomes


def degradation_reason(response: Response) -> str:
    """Returns why an answer is not live, as its first reason for its quality says.

    One of `stale`, `missing`, `not_kept`, or the name of the `Reason` that the features failed of.
    """
    for reason in response.quality_reasons:
        if reason.quality == response.quality:
            if reason.detail.startswith(FAILED):
                return reason.detail.removeprefix(FAILED)
            for _, _, word, _ in _VIEW_DEGRADATIONS:
                if reason.detail.endswith(word):
                    return _REASONS[word]
    return "other"


def _bare_responses(convoy: Convoy) -> dict[int, Response]:
    """Returns a response per row that has a prediction and is well, with what all share."""
    versions = convoy.model_versions
    shared = Response(
        pipeline=convoy.pipeline.name,
        pipeline_version=convoy.pipeline.version,
        model=prediction_service_pb2.ModelVersion(name=convoy.model_name),
        quality=prediction_service_pb2.QUALITY_LIVE,
    )
    if len(versions) == 1:
        shared.model.version = versions[0]
    shared.ledger.entries.extend(convoy.book.entries(convoy.departed_ns))
    shared.ledger.convoy_rows = len(convoy.rows)
    responses: dict[int, Response] = {}
    for index in convoy.prediction_rows:
        row = convoy.rows[index]
        if row.error is None:
            response = responses[index] = Response()
            response.CopyFrom(shared)
            response.request_id = row.request_id
    if len(versions) > 1:
        for index, version in zip(convoy.model_rows, versions, strict=True):
            if index in responses:
                responses[index].model.version = version
    return responses


def _add_ledgers(convoy: Convoy, responses: dict[int, Response]) -> None:
    # Last of all, so that the total covers everything before it.
    critical_ns = convoy.book.critical_ns()
    now_ns = time.monotonic_ns()
    in_chain_ns = now_ns - convoy.departed_ns
    for index, response in responses.items():
        row, ledger = convoy.rows[index], response.ledger
        ledger.total_ns = now_ns - row.received_ns
        ledger.convoy_wait_ns = convoy.departed_ns - row.received_ns
        ledger.unattributed_ns = in_chain_ns - critical_ns
        ledger.deadline_ns = row.granted_ns


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
    policies = {plan.name: plan.view for plan in convoy.pipeline.views}
    for lookup in convoy.views:
        if lookup.states.count(_FRESH) == len(lookup.states):
            continue
        states = np.frombuffer(lookup.states, np.uint8)
        for state, policy, word, quality in _VIEW_DEGRADATIONS:
            if getattr(policies[lookup.view], policy) != "default":
                continue
            if lookup.element_states:
                for place, detail in _lists_in_state(lookup.element_states, len(states), state):
                    add(convoy.view_rows[place], quality, f"{lookup.view}: {detail} {word}")
                continue
            for place in np.flatnonzero(states == state).tolist():
                add(convoy.view_rows[place], quality, f"{lookup.view}: {word}")
    return reasons


def _lists_in_state(element_states: bytes, rows: int, state: int) -> Iterator[tuple[int, str]]:
    """Yields the rows of which any element is in this state, and how many of how many are."""
    states = np.frombuffer(element_states, np.uint8).reshape(rows, -1)
    found, present = (states == state).sum(axis=1), (states != 0).sum(axis=1)
    for place in np.flatnonzero(found).tolist():
        yield place, f"{found[place]} of {present[place]}"


def _add_predictions(convoy: Convoy, responses: dict[int, Response]) -> None:
    rows = convoy.prediction_rows
    lists = {
        output.name: output.length_of
        for output in convoy.pipeline.outputs
        if output.length_of is not None
    }
    for place, message in enumerate(convoy.prediction_blocks):
        block = to_block(message, len(rows), f"prediction[{place}]")
        for name_place, name in enumerate(block.names):
            column = block.values[name_place]
            set_field = _setter(block.dtype, is_tensor=column.ndim > 1 or name in lists)
            values: Any = column if column.ndim > 1 else column.tolist()
            if name in lists:
                values = _cut(column, [convoy.rows[row].fields for row in rows], lists[name])
            for row, value in zip(rows, values, strict=True):
                response = responses.get(row)
                if response is not None:
                    set_field(response.prediction[name], value)
            if block.validity is not None:
                for row_place in np.flatnonzero(~block.validity[name_place]).tolist():
                    response = responses.get(rows[row_place])
                    if response is not None:
                        response.prediction[name].Clear()


def _cut(column: Array, requests: Sequence[Fields], list_name: str) -> list[Array]:
    """Returns for each row as many elements as a list of its request has."""
    if column.ndim == 1:
        column = column[:, np.newaxis]
    elif column.shape[2:] == (1,):
        column = column[:, :, 0]
    return [
        values[: list_length(fields, list_name)]
        for values, fields in zip(column, requests, strict=True)
    ]


def _setter(dtype: DType, *, is_tensor: bool) -> Callable[[tensor_pb2.Value, Any], None]:
    """Returns what puts one element of a column into a message."""
    if is_tensor:
        return lambda value, element: value.tensor_value.CopyFrom(array_to_tensor(element, dtype))
    if dtype is DType.UINT64:
        return _set_uint64
    if dtype.is_floating:
        return _set_double
    return _SETTERS.get(dtype, _set_int64)


def _set_string(value: tensor_pb2.Value, element: str) -> None:
    value.string_value = element


def _set_bytes(value: tensor_pb2.Value, element: bytes) -> None:
    value.bytes_value = element


def _set_bool(value: tensor_pb2.Value, element: bool) -> None:
    value.bool_value = element


def _set_double(value: tensor_pb2.Value, element: float) -> None:
    value.double_value = element


def _set_int64(value: tensor_pb2.Value, element: int) -> None:
    value.int64_value = element


def _set_timestamp(value: tensor_pb2.Value, element: int) -> None:
    value.timestamp_value.FromMicroseconds(element)


def _set_uint64(value: tensor_pb2.Value, element: int) -> None:
    if element < 2**63:
        value.int64_value = element
        return
    array: Array = np.array([element], np.uint64)
    value.tensor_value.CopyFrom(array_to_tensor(array.reshape(()), DType.UINT64))


_SETTERS: dict[DType, Callable[[tensor_pb2.Value, Any], None]] = {
    DType.STRING: _set_string,
    DType.BYTES: _set_bytes,
    DType.BOOL: _set_bool,
    DType.TIMESTAMP: _set_timestamp,
}
