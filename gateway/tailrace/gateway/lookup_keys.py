"""Entity keys for the features hop, taken straight from requests or from ingest's columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from tailrace.gateway.convoy import ConvoyRow
from tailrace.runtime.columns import Block, Columns, DType, column_block
from tailrace.runtime.pipeline.plan import KeySource, Pipeline
from tailrace.v1 import tensor_pb2

_KIND = {
    DType.STRING: "string_value",
    DType.INT64: "int64_value",
    DType.BOOL: "bool_value",
    DType.TIMESTAMP: "timestamp_value",
}
_EMPTY: dict[DType, Any] = {
    DType.STRING: "", DType.INT64: 0, DType.BOOL: False, DType.TIMESTAMP: 0,
}  # fmt: skip
_INT64_MAX_S = 2**63 // 1_000_000 - 1


def keys_from_requests(pipeline: Pipeline, rows: Sequence[ConvoyRow]) -> list[Block]:
    """Returns one block per key of each view: `<view>.<key>`, [1, rows].

    A field that is missing takes the request schema's default. One of the wrong type is null
    here; ingest tells the caller.
    """
    schema = pipeline.spec.request.fields
    return [
        _request_key(key, rows, getattr(schema[key.name], "default", None))
        for plan in pipeline.views
        for key in plan.keys
    ]


def keys_from_columns(
    pipeline: Pipeline, rows: Sequence[ConvoyRow], columns: Columns
) -> list[Block]:
    """Returns the same where some keys are columns that ingest made for these rows."""
    schema = pipeline.spec.request.fields
    blocks = []
    for plan in pipeline.views:
        for key in plan.keys:
            if key.origin == "request":
                default = getattr(schema[key.name], "default", None)
                blocks.append(_request_key(key, rows, default))
            else:
                blocks.append(
                    column_block(
                        key.column, key.key.dtype, columns[key.name], columns.validity(key.name)
                    )
                )
    return blocks


def _request_key(key: KeySource, rows: Sequence[ConvoyRow], default: object) -> Block:
    dtype = key.key.dtype
    kind = _KIND[dtype]
    if isinstance(default, datetime):
        default = round(default.timestamp() * 1_000_000)
    values = [_read(row.fields, key.name, kind, default) for row in rows]
    present = [value is not None for value in values]
    filled = [_EMPTY[dtype] if value is None else value for value in values]
    array = np.empty(len(rows), dtype.numpy)
    array[:] = filled
    return column_block(
        key.column, dtype, array, None if all(present) else np.array(present, np.bool_)
    )


def _read(
    fields: Mapping[str, tensor_pb2.Value], name: str, kind: str, default: object
) -> object | None:
    value = fields.get(name)
    if value is None:
        return default
    found = value.WhichOneof("kind")
    if found is None:
        return default
    if found != kind:
        return None
    if kind == "timestamp_value":
        instant = value.timestamp_value
        if abs(instant.seconds) > _INT64_MAX_S:
            return None
        return instant.seconds * 1_000_000 + instant.nanos // 1_000
    result: object = getattr(value, kind)
    return result
