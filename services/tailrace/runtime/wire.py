"""Between protobuf messages and columns: the one place that knows both.

Layout: `tailrace/v1/tensor.proto`. Numeric data is little-endian and is read without a copy.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np

from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Array, Block, Columns, DType
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import (
    Code,
    InvalidBatch,
    InvalidTensor,
    Reason,
    RemoteFailure,
    TailraceError,
)
from tailrace.v1 import batch_pb2, tensor_pb2

MAX_ELEMENTS = 2**31 - 1
MAX_DIMENSIONS = 16
# A hundred years: beyond any deadline, and a time that a timer can be set to.
FARTHEST_US = 100 * 365 * 86_400 * 1_000_000

Element = TypeVar("Element")

_TO_WIRE = {dtype: tensor_pb2.DataType.Value(f"DATA_TYPE_{dtype.name}") for dtype in DType}
_FROM_WIRE = {number: dtype for dtype, number in _TO_WIRE.items()}
_FIXED_SIZE: dict[int, DType] = {
    number: dtype for number, dtype in _FROM_WIRE.items() if not dtype.is_ragged
}
_REASONS = {reason.value: reason for reason in Reason}


def dtype_number(dtype: DType) -> tensor_pb2.DataType.ValueType:
    """Returns the number of a type on the wire."""
    return _TO_WIRE[dtype]


def tensor_to_array(tensor: tensor_pb2.Tensor, path: str) -> tuple[DType, Array]:
    """Returns the type and values of a tensor; numeric values are a read-only view.

    Everything is checked against the bytes that are there before anything is allocated.

    Args:
        tensor: as received.
        path: where it stands in the request, for the error.

    Raises:
        InvalidTensor: unknown type, negative dimension, too many elements, or data that
            is not exactly as long as shape and type say.
    """
    dtype = _FROM_WIRE.get(tensor.dtype)
    if dtype is None:
        raise InvalidTensor(f"unknown dtype number {tensor.dtype}", field=f"{path}.dtype")
    # First of all: the product of a long shape takes time that grows with its square.
    if len(tensor.shape) > MAX_DIMENSIONS:
        raise InvalidTensor(
            f"{len(tensor.shape)} dimensions, at most {MAX_DIMENSIONS}", field=f"{path}.shape"
        )
    shape = tuple(tensor.shape[:])
    if any(size < 0 for size in shape):
        raise InvalidTensor(f"shape {list(shape)} has a negative dimension", field=f"{path}.shape")
    elements = math.prod(shape)
    # A zero does not excuse the other dimensions: numpy refuses huge ones even then.
    if math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise InvalidTensor(
            f"shape {list(shape)} has more than {MAX_ELEMENTS} elements", field=f"{path}.shape"
        )
    if dtype.is_ragged:
        return dtype, _ragged_to_array(tensor, dtype, elements, path).reshape(shape)
    expected = elements * dtype.numpy.itemsize
    if len(tensor.data) != expected:
        raise InvalidTensor(
            f"{len(tensor.data)} bytes of data where shape {list(shape)} of {dtype.value} "
            f"needs {expected}",
            field=f"{path}.data",
        )
    if dtype is DType.BOOL:
        return dtype, (np.frombuffer(tensor.data, np.uint8) != 0).reshape(shape)
    return dtype, np.frombuffer(tensor.data, dtype.numpy).reshape(shape)


def _ragged_to_array(tensor: tensor_pb2.Tensor, dtype: DType, elements: int, path: str) -> Array:
    where = f"{path}.offsets"
    if len(tensor.offsets) != 4 * (elements + 1):
        raise InvalidTensor(
            f"{len(tensor.offsets)} bytes of offsets where {elements} elements need "
            f"{4 * (elements + 1)}",
            field=where,
        )
    offsets: list[int] = np.frombuffer(tensor.offsets, "<u4").tolist()
    data = tensor.data
    if offsets[0] != 0 or offsets[-1] != len(data):
        raise InvalidTensor("offsets do not span the data", field=where)
    # Sorting what is sorted is one pass in C.
    if offsets != sorted(offsets):
        raise InvalidTensor("offsets decrease", field=where)
    spans = list(map(slice, offsets, offsets[1:]))
    values = np.empty(elements, dtype=object)
    if dtype is DType.BYTES:
        values[:] = list(map(data.__getitem__, spans))
    elif data.isascii():
        # Decoded together: only where every character is one byte do the offsets stay right.
        values[:] = list(map(data.decode().__getitem__, spans))
    else:
        try:
            values[:] = [data[span].decode() for span in spans]
        except UnicodeDecodeError as error:
            raise InvalidTensor(
                f"text is not UTF-8: {error.reason}", field=f"{path}.data"
            ) from error
    return values


def array_to_tensor(values: Array, dtype: DType) -> tensor_pb2.Tensor:
    """Returns `values` as a tensor of the same shape, row-major, little-endian."""
    tensor = tensor_pb2.Tensor()
    write_tensor(tensor, values, dtype)
    return tensor


def write_tensor(tensor: tensor_pb2.Tensor, values: Array, dtype: DType) -> None:
    """Writes `values` into an empty tensor: same shape, row-major, little-endian."""
    tensor.dtype = _TO_WIRE[dtype]
    tensor.shape.extend(values.shape)
    if dtype.is_ragged:
        flat: Sequence[str | bytes] = values.ravel().tolist()
        pack_ragged(tensor, flat)
    else:
        tensor.data = values.astype(dtype.numpy, copy=False).tobytes()


def pack_ragged(tensor: tensor_pb2.Tensor, elements: Sequence[str | bytes]) -> None:
    """Puts texts (as UTF-8) or bytes into a tensor, whose shape says how many there are."""
    pieces = [element.encode() if isinstance(element, str) else element for element in elements]
    offsets = accumulate(map(len, pieces), initial=0)
    tensor.data = b"".join(pieces)
    tensor.offsets = struct.pack(f"<{len(pieces) + 1}I", *offsets)


def block_to_proto(block: Block) -> tensor_pb2.ColumnBlock:
    """Returns the block as a message."""
    message = tensor_pb2.ColumnBlock()
    write_block(message, block)
    return message


def write_block(message: tensor_pb2.ColumnBlock, block: Block) -> None:
    """Writes the block into an empty message."""
    message.names.extend(block.names)
    write_tensor(message.values, block.values, block.dtype)
    if block.validity is not None:
        message.validity = block.validity.astype(np.uint8).tobytes()


def block_rows(block: tensor_pb2.ColumnBlock | Block) -> int:
    """Returns how many rows a block is for, in whatever form; -1 if it does not say."""
    if isinstance(block, Block):
        return block.rows
    shape = block.values.shape
    return shape[1] if len(shape) > 1 else -1


def to_block(block: tensor_pb2.ColumnBlock | Block, rows: int, path: str) -> Block:
    """Returns a block for `rows` rows, in whatever form it came. See `block_from_proto`."""
    return block if isinstance(block, Block) else block_from_proto(block, rows, path)


def block_from_proto(message: tensor_pb2.ColumnBlock, rows: int, path: str) -> Block:
    """Returns the message as a block of `rows` rows. Raises InvalidTensor, InvalidBatch."""
    # By a slice, as iterating over a repeated field costs three times as much.
    names = tuple(message.names[:])
    tensor = message.values
    dtype = _FIXED_SIZE.get(tensor.dtype)
    expected = (len(names), rows)
    shape = tuple(tensor.shape[:MAX_DIMENSIONS])
    data = tensor.data
    if (
        dtype is not None
        and shape[:2] == expected
        and len(data) == math.prod(shape) * dtype.numpy.itemsize
        and min(shape) > 0
        and len(tensor.shape) == len(shape)
        # Of a bool not any byte is a value.
        and (dtype is not DType.BOOL or not data.translate(None, b"\0\1"))
    ):
        # Nearly every block is sound, and one condition says so.
        values: Array = np.ndarray(shape, dtype.numpy, data)
    else:
        dtype, values = tensor_to_array(tensor, f"{path}.values")
        if values.ndim < 2 or values.shape[:2] != expected:
            raise InvalidBatch(
                f"values of shape {list(values.shape)} for {len(names)} names and {rows} rows",
                field=f"{path}.values.shape",
            )
    validity = None
    if message.validity:
        if len(message.validity) != len(names) * rows:
            raise InvalidBatch(
                f"{len(message.validity)} bytes of validity for {len(names)} names and {rows} rows",
                field=f"{path}.validity",
            )
        validity = (np.frombuffer(message.validity, np.uint8) != 0).reshape(expected)
    return Block(names, dtype, values, validity)


def error_from_proto(message: batch_pb2.RowError) -> TailraceError:
    """Returns the error of a row as another service reported it."""
    reason = _REASONS.get(message.reason, Reason.UNSPECIFIED)
    return RemoteFailure(
        Code(message.code),
        message.message,
        field=message.field,
        reason=reason,
        retry_after_ms=message.retry_after_ms if message.HasField("retry_after_ms") else None,
    )


def error_to_proto(row: int, error: TailraceError) -> batch_pb2.RowError:
    """Returns the error of a row as a message."""
    return batch_pb2.RowError(
        row=row,
        code=int(error.code),
        reason=error.reason.value,  # type: ignore[arg-type]  # same numbers, held by a test
        message=error.message,
        field=error.field,
        retry_after_ms=error.retry_after_ms,
    )


def rows_from_proto(message: batch_pb2.RowContexts, max_rows: int) -> Rows:
    """Returns row contexts from a message; deadlines count from now.

    Raises:
        InvalidBatch: no rows, too many, lists of the wrong length, or an error for a row
            that is not there.
    """
    count = message.count
    if not 1 <= count <= max_rows:
        raise InvalidBatch(f"{count} rows, expected 1 to {max_rows}", field="batch.rows.count")
    rows = Rows(
        _listed(message.request_ids, count, "request_ids"),
        _deadlines_ns(_listed(message.remaining_us, count, "remaining_us")),
    )
    if message.traceparents:
        rows.traceparents = _listed(message.traceparents, count, "traceparents")
    if message.tracestates:
        rows.tracestates = _listed(message.tracestates, count, "tracestates")
    if message.priorities:
        rows.priorities = _listed(message.priorities, count, "priorities")
    if message.tenants:
        rows.tenants = _listed(message.tenants, count, "tenants")
    for error in message.errors:
        if error.row >= count or not 1 <= error.code <= Code.UNAUTHENTICATED:
            raise InvalidBatch(
                f"error with code {error.code} for row {error.row} of {count}",
                field="batch.rows.errors",
            )
        rows.fail(error.row, error_from_proto(error))
    return rows


def _listed(values: Sequence[Element], count: int, name: str) -> list[Element]:
    if len(values) != count:
        raise InvalidBatch(f"{len(values)} elements for {count} rows", field=f"batch.rows.{name}")
    listed: list[Element] = values[:]  # type: ignore[assignment]  # a slice of these is a list
    return listed


def _deadlines_ns(remaining_us: list[int]) -> list[int]:
    if max(remaining_us) > FARTHEST_US:
        remaining_us = [min(each_us, FARTHEST_US) for each_us in remaining_us]
    now_ns = time.monotonic_ns()
    return [now_ns + each_us * NS_PER_US for each_us in remaining_us]


def batch_from_proto(message: batch_pb2.Batch, max_rows: int) -> Batch:
    """Returns a batch from a message. Raises InvalidBatch, InvalidTensor."""
    rows = rows_from_proto(message.rows, max_rows)
    count = len(rows.request_ids)
    columns = Columns(count)
    try:
        columns.extend(
            [
                block_from_proto(block, count, f"batch.blocks[{place}]")
                for place, block in enumerate(message.blocks)
            ]
        )
    except ValueError as error:
        raise InvalidBatch(str(error), field="batch.blocks") from error
    return Batch(message.pipeline, message.pipeline_version, rows, columns)


def write_answer(message: batch_pb2.Batch, rows: Rows, columns: Columns) -> None:
    """Writes the answer for some rows into an empty message.

    Of the contexts it has the number of rows and who failed: whoever asked knows the rest.
    """
    contexts = message.rows
    contexts.count = len(rows)
    for row, error in rows.failures.items():
        contexts.errors.append(error_to_proto(row, error))
    for block in columns.blocks:
        write_block(message.blocks.add(), block)
