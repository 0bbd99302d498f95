"""Keys and instants for the features hop, taken straight from requests or from ingest's columns."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np

from tailrace.gateway.convoy import ConvoyRow
from tailrace.gateway.list_keys import ListKey, list_blocks
from tailrace.runtime.columns import Block, Columns, DType, column_block
from tailrace.runtime.hop_answer import PassedBlock
from tailrace.runtime.pipeline.plan import KeySource, Pipeline
from tailrace.runtime.pipeline.request_schema import RequestField
from tailrace.runtime.pipeline.view_plan import InstantSource
from tailrace.runtime.wire import block_to_proto, dtype_number, pack_ragged
from tailrace.v1 import tensor_pb2

Source: TypeAlias = KeySource | InstantSource

_KIND = {
    DType.STRING: "string_value",
    DType.INT64: "int64_value",
    DType.BOOL: "bool_value",
    DType.TIMESTAMP: "timestamp_value",
}
_EMPTY: dict[DType, Any] = {
    DType.STRING: "", DType.INT64: 0, DType.BOOL: False, DType.TIMESTAMP: 0,
}  # fmt: skip


class LookupKeys:
    """Makes the columns that a pipeline's lookups begin with: `<name>.<key>`, `<name>.@at`.

    A field that is missing takes the request schema's default. One of the wrong type is null
    here; ingest tells the caller. A list is empty where it is missing or not as it should be.
    """

    def __init__(self, pipeline: Pipeline, *, as_messages: bool = True) -> None:
        """Sorts the keys by where they come from and by type: one block each.

        Args:
            pipeline: whose keys.
            as_messages: whether blocks are made as messages, for a hop elsewhere.
        """
        self._as_messages = as_messages
        self._make = _request_message if as_messages else _request_block
        schema = pipeline.spec.request.fields
        self._from_requests: dict[DType, list[Source]] = {}
        self._from_columns: list[tuple[DType, Source]] = []
        # By request field: its kind and its default. Several keys may come from one field.
        self._fields: dict[str, tuple[str, Any]] = {}
        self._lists: list[ListKey] = []
        for dtype, source in _sources(pipeline):
            if isinstance(source, KeySource) and source.elements is not None:
                self._lists.append(ListKey(dtype, source, source.elements))
            elif source.origin == "request":
                self._from_requests.setdefault(dtype, []).append(source)
                self._fields[source.name] = _KIND[dtype], _default(schema[source.name])
            else:
                self._from_columns.append((dtype, source))

    def blocks(self, rows: Sequence[ConvoyRow], ingested: Columns | None) -> Sequence[PassedBlock]:
        """Returns the key columns of some rows.

        Args:
            rows: the requests.
            ingested: what ingest made of these rows; needed where a key comes from there.
        """
        fields = [row.fields for row in rows]
        values = {
            name: [_read(request, name, kind, default) for request in fields]
            for name, (kind, default) in self._fields.items()
        }
        blocks: list[PassedBlock] = [
            self._make(dtype, sources, values, len(rows))
            for dtype, sources in self._from_requests.items()
        ]
        if ingested is not None:
            blocks += [
                column_block(
                    source.column, dtype, ingested[source.name], ingested.validity(source.name)
                )
                for dtype, source in self._from_columns
            ]
        if self._lists:
            made = list_blocks(self._lists, fields, ingested)
            blocks += [block_to_proto(block) for block in made] if self._as_messages else made
        return blocks


def _sources(pipeline: Pipeline) -> Iterator[tuple[DType, Source]]:
    for plan in pipeline.views:
        for key in plan.keys:
            yield key.key.dtype, key
        if plan.instant is not None:
            yield DType.TIMESTAMP, plan.instant


def _default(field: RequestField) -> object:
    default: object = getattr(field, "default", None)
    if isinstance(default, datetime):
        return round(default.timestamp() * 1_000_000)
    return default


def _request_block(
    dtype: DType, sources: list[Source], values_by_field: Mapping[str, list[Any]], rows: int
) -> Block:
    shape = len(sources), rows
    values = [value for source in sources for value in values_by_field[source.name]]
    validity = None
    if None in values:
        validity = np.array([value is not None for value in values]).reshape(shape)
        values = [_EMPTY[dtype] if value is None else value for value in values]
    names = tuple([source.column for source in sources])
    return Block(names, dtype, np.array(values, dtype.numpy).reshape(shape), validity)


def _request_message(
    dtype: DType, sources: list[Source], values_by_field: Mapping[str, list[Any]], rows: int
) -> tensor_pb2.ColumnBlock:
    # Straight to bytes: with one pass per key and row, arrays in between cost more than they help.
    values = [value for source in sources for value in values_by_field[source.name]]
    validity = b""
    if None in values:
        validity = bytes(value is not None for value in values)
        values = [_EMPTY[dtype] if value is None else value for value in values]
    tensor = tensor_pb2.Tensor(dtype=dtype_number(dtype), shape=(len(sources), rows))
    if dtype is DType.STRING:
        pack_ragged(tensor, values)
    elif dtype is DType.BOOL:
        tensor.data = bytes(values)
    else:
        tensor.data = struct.pack(f"<{len(values)}q", *values)
    return tensor_pb2.ColumnBlock(
        names=[source.column for source in sources], values=tensor, validity=validity
    )


def _read(fields: Mapping[str, tensor_pb2.Value], name: str, kind: str, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if kind != "timestamp_value":
        element = getattr(value, kind)
        # What is not the type's default must have been set: most values end here.
        if element:
            return element
    found = value.WhichOneof("kind")
    if found is None:
        return default
    if found != kind:
        return None
    if kind == "timestamp_value":
        instant = value.timestamp_value
        # Nanoseconds can be sent that make several seconds.
        microseconds = instant.seconds * 1_000_000 + instant.nanos // 1_000
        return microseconds if abs(microseconds) < 2**63 else None
    return getattr(value, kind)
