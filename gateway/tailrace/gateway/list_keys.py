"""Keys that are lists, for the features hop: taken from requests or from ingest's columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.columns import Array, Block, Columns, DType, column_block
from tailrace.runtime.errors import InvalidTensor
from tailrace.runtime.pipeline.column_kind import length_column
from tailrace.runtime.pipeline.plan import KeySource
from tailrace.runtime.wire import dtype_number, tensor_to_array
from tailrace.v1 import tensor_pb2

Fields = Mapping[str, tensor_pb2.Value]


@dataclass(frozen=True, slots=True)
class ListKey:
    """A key that is a list.

    Attributes:
        dtype: of its elements.
        source: where it comes from.
        elements: most elements.
    """

    dtype: DType
    source: KeySource
    elements: int


def list_blocks(
    keys: Sequence[ListKey], requests: Sequence[Fields], ingested: Columns | None
) -> list[Block]:
    """Returns the columns `<key column>` [rows, elements] and `<key column>.length` [rows].

    A list that is missing, too long or of something else is empty here; ingest tells the caller.

    Args:
        keys: to make columns of; at least one.
        requests: the fields of each row.
        ingested: what ingest made of these rows; needed where a key comes from there.
    """
    blocks: list[Block] = []
    # Several views may be read by one list.
    read: dict[tuple[str, DType], tuple[Array, NDArray[np.int64]]] = {}
    lengths: list[NDArray[np.int64]] = []
    for key in keys:
        source = key.source
        if source.origin == "ingest":
            assert ingested is not None, "the features hop runs after ingest"
            values = ingested[source.name]
            lengths.append(ingested[str(source.length)])
        else:
            place = source.name, key.dtype
            if place not in read:
                read[place] = _from_requests(key, requests)
            values = read[place][0]
            lengths.append(read[place][1])
        blocks.append(column_block(source.column, key.dtype, values))
    names = tuple(length_column(key.source.column) for key in keys)
    blocks.append(Block(names, DType.INT64, np.array(lengths, np.int64)))
    return blocks


def list_length(fields: Fields, name: str) -> int:
    """Returns how many items a list has that ingest has accepted; 0 where it is missing."""
    value = fields.get(name)
    shape = () if value is None else value.tensor_value.shape
    return shape[0] if shape else 0


def _from_requests(key: ListKey, requests: Sequence[Fields]) -> tuple[Array, NDArray[np.int64]]:
    blank = "" if key.dtype is DType.STRING else 0
    values = np.full((len(requests), key.elements), blank, key.dtype.numpy)
    lengths = np.zeros(len(requests), np.int64)
    wire_type = dtype_number(key.dtype)
    for row, fields in enumerate(requests):
        value = fields.get(key.source.name)
        if value is None:
            continue
        tensor = value.tensor_value
        if (
            tensor.dtype != wire_type
            or len(tensor.shape) != 1
            or not 0 < tensor.shape[0] <= key.elements
        ):
            continue
        try:
            items = tensor_to_array(tensor, key.source.name)[1]
        except InvalidTensor:
            continue  # Ingest reads the same, and tells the caller.
        values[row, : len(items)] = items
        lengths[row] = len(items)
    return values, lengths
