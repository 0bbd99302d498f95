"""From the input tensors of the Open Inference Protocol to requests."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tailrace.gateway.open_inference_tensors import DATATYPES, OipTensor, tensor_metadata
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import InvalidField, InvalidTensor, LimitExceeded
from tailrace.runtime.pipeline.load import nearest
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.wire import MAX_DIMENSIONS, array_to_tensor
from tailrace.v1 import tensor_pb2


def requests_from_inputs(
    pipeline: Pipeline, request: Any, max_rows: int
) -> list[dict[str, tensor_pb2.Value]]:
    """Returns the request fields of each row.

    Args:
        pipeline: whose request schema the inputs follow.
        request: an `inference.ModelInferRequest`.
        max_rows: most rows allowed.

    Raises:
        InvalidField: an unknown input, or inputs with different numbers of rows.
        InvalidTensor: an input contradicts itself or the schema.
        LimitExceeded: too many rows.
    """
    known = {tensor.name: tensor for tensor in tensor_metadata(pipeline)[0]}
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InvalidTensor(
            f"{len(raw)} raw contents for {len(request.inputs)} inputs", field="raw_input_contents"
        )
    rows: int | None = None
    columns: dict[str, list[tensor_pb2.Value]] = {}
    for place, given in enumerate(request.inputs):
        tensor = known.get(given.name)
        path = f"inputs.{given.name[:64]}"
        if tensor is None:
            hint = nearest(given.name, known)
            suffix = f"; did you mean {hint!r}?" if hint else ""
            raise InvalidField(f"unknown input{suffix}", field=path)
        if given.name in columns:
            raise InvalidField("given twice", field=path)
        given_rows, row_shape = _check_input(given, tensor, path)
        tensor = replace(tensor, row_shape=row_shape)
        if rows is None:
            rows = given_rows
        if given_rows != rows:
            raise InvalidField(f"{given_rows} rows where other inputs have {rows}", field=path)
        if rows > max_rows:
            raise LimitExceeded(f"{rows} rows, at most {max_rows} are allowed", field=path)
        columns[given.name] = (
            _from_raw(raw[place], tensor, rows, path)
            if raw
            else _from_contents(given.contents, tensor, rows, path)
        )
    if not rows:
        raise InvalidTensor("no rows", field="inputs")
    return [{name: values[row] for name, values in columns.items()} for row in range(rows)]


def _check_input(given: Any, tensor: OipTensor, path: str) -> tuple[int, tuple[int, ...]]:
    """Returns the number of rows of an input, and the shape of one."""
    shape = tuple(given.shape)
    if given.datatype != tensor.datatype:
        raise InvalidTensor(
            f"datatype {given.datatype[:16]!r}, expected {tensor.datatype}",
            field=f"{path}.datatype",
        )
    # First of all: the product of a long shape takes time that grows with its square.
    if len(shape) > MAX_DIMENSIONS:
        raise InvalidTensor(
            f"{len(shape)} dimensions, at most {MAX_DIMENSIONS}", field=f"{path}.shape"
        )
    if any(size < 0 for size in shape):
        raise InvalidTensor(f"shape {list(shape)} has a negative dimension", field=f"{path}.shape")
    if math.prod(shape) > 2**31 - 1:
        raise InvalidTensor(f"shape {list(shape)} is too large", field=f"{path}.shape")
    row_shape = shape[1:2] if tensor.row_shape == (-1,) else tensor.row_shape
    # Clients of Triton often send scalars as [rows, 1].
    fits = shape[1:] in (row_shape, (*row_shape, 1)) and len(row_shape) == len(tensor.row_shape)
    if not shape or not fits:
        expected = ["rows", *("items" if size == -1 else size for size in tensor.row_shape)]
        raise InvalidTensor(f"shape {list(shape)}, expected {expected}", field=f"{path}.shape")
    return int(shape[0]), row_shape


def _from_raw(data: bytes, tensor: OipTensor, rows: int, path: str) -> list[tensor_pb2.Value]:
    if tensor.dtype.is_ragged:
        pieces = list(_split_bytes(data, rows * math.prod(tensor.row_shape), path))
        return _bytes_values(pieces, tensor, rows, path)
    numpy_type = tensor.dtype.numpy
    expected = rows * math.prod(tensor.row_shape) * numpy_type.itemsize
    if len(data) != expected:
        raise InvalidTensor(
            f"{len(data)} raw bytes, expected {expected}", field=f"{path}.raw_input_contents"
        )
    array = np.frombuffer(data, numpy_type).reshape(rows, *tensor.row_shape)
    return _numeric_values(array, tensor)


def _from_contents(
    contents: Any, tensor: OipTensor, rows: int, path: str
) -> list[tensor_pb2.Value]:
    field = DATATYPES[tensor.dtype][2]
    if not field:
        raise InvalidTensor(f"{tensor.datatype} needs raw contents", field=f"{path}.contents")
    values = getattr(contents, field)
    expected = rows * math.prod(tensor.row_shape)
    if len(values) != expected:
        raise InvalidTensor(
            f"{len(values)} elements in {field}, expected {expected}", field=f"{path}.contents"
        )
    if tensor.dtype.is_ragged:
        return _bytes_values(values, tensor, rows, path)
    try:
        array = np.array(values, dtype=tensor.dtype.numpy)
    except OverflowError as error:
        raise InvalidTensor(
            f"a value does not fit {tensor.datatype}", field=f"{path}.contents"
        ) from error
    return _numeric_values(array.reshape(rows, *tensor.row_shape), tensor)


def _split_bytes(data: bytes, count: int, path: str) -> Iterator[bytes]:
    # Each element: its length as uint32, little-endian, then its bytes.
    where = f"{path}.raw_input_contents"
    place = 0
    for _ in range(count):
        if place + 4 > len(data):
            raise InvalidTensor("raw bytes end before the last element", field=where)
        (size,) = struct.unpack_from("<I", data, place)
        place += 4
        if place + size > len(data):
            raise InvalidTensor("an element is longer than the raw bytes", field=where)
        yield data[place : place + size]
        place += size
    if place != len(data):
        raise InvalidTensor(f"{len(data) - place} raw bytes too many", field=where)


def _bytes_values(
    pieces: Sequence[bytes], tensor: OipTensor, rows: int, path: str
) -> list[tensor_pb2.Value]:
    """Returns the value of each row: one piece, or, of lists, as many as a row has."""
    if not tensor.row_shape:
        return [_bytes_value(piece, tensor.dtype, path) for piece in pieces]
    texts = [_bytes_value(piece, tensor.dtype, path).string_value for piece in pieces]
    array = np.array(texts, object).reshape(rows, *tensor.row_shape)
    return [tensor_pb2.Value(tensor_value=array_to_tensor(row, tensor.dtype)) for row in array]


def _bytes_value(piece: bytes, dtype: DType, path: str) -> tensor_pb2.Value:
    if dtype is DType.BYTES:
        return tensor_pb2.Value(bytes_value=piece)
    try:
        return tensor_pb2.Value(string_value=piece.decode())
    except UnicodeDecodeError as error:
        raise InvalidTensor("text is not UTF-8", field=path) from error


def _numeric_values(array: Any, tensor: OipTensor) -> list[tensor_pb2.Value]:
    if tensor.row_shape:
        return [tensor_pb2.Value(tensor_value=array_to_tensor(row, tensor.dtype)) for row in array]
    items = array.tolist()
    if tensor.dtype is DType.BOOL:
        return [tensor_pb2.Value(bool_value=bool(item)) for item in items]
    if tensor.dtype is DType.TIMESTAMP:
        values = []
        for item in items:
            value = tensor_pb2.Value()
            value.timestamp_value.seconds, micros = divmod(item, 1_000_000)
            value.timestamp_value.nanos = micros * 1_000
            values.append(value)
        return values
    if tensor.dtype.is_floating:
        return [tensor_pb2.Value(double_value=item) for item in items]
    return [tensor_pb2.Value(int64_value=item) for item in items]
