"""Between the tensors of the Open Inference Protocol and a pipeline's fields."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tailrace.runtime.columns import DType
from tailrace.runtime.errors import (
    FailedPrecondition,
    InvalidField,
    InvalidTensor,
    LimitExceeded,
    Reason,
)
from tailrace.runtime.pipeline.load import nearest
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.request_schema import TensorField
from tailrace.runtime.wire import MAX_DIMENSIONS, array_to_tensor, tensor_to_array
from tailrace.v1 import prediction_service_pb2, tensor_pb2

# Open Inference datatype, number in Triton's model_config.DataType, field of
# InferTensorContents.
_DATATYPES: dict[DType, tuple[str, int, str]] = {
    DType.BOOL: ("BOOL", 1, "bool_contents"),
    DType.UINT8: ("UINT8", 2, "uint_contents"),
    DType.UINT16: ("UINT16", 3, "uint_contents"),
    DType.UINT32: ("UINT32", 4, "uint_contents"),
    DType.UINT64: ("UINT64", 5, "uint64_contents"),
    DType.INT8: ("INT8", 6, "int_contents"),
    DType.INT16: ("INT16", 7, "int_contents"),
    DType.INT32: ("INT32", 8, "int_contents"),
    DType.INT64: ("INT64", 9, "int64_contents"),
    DType.FLOAT16: ("FP16", 10, ""),
    DType.FLOAT32: ("FP32", 11, "fp32_contents"),
    DType.FLOAT64: ("FP64", 12, "fp64_contents"),
    DType.STRING: ("BYTES", 13, "bytes_contents"),
    DType.BYTES: ("BYTES", 13, "bytes_contents"),
    DType.TIMESTAMP: ("INT64", 9, "int64_contents"),
}


@dataclass(frozen=True, slots=True)
class OipTensor:
    """One input or output of a pipeline, seen as a model's.

    Attributes:
        name: of the field.
        dtype: type of the field.
        row_shape: shape of one row; empty for scalars. -1 is the number of a list's items, which
            is one for all rows of a request.
    """

    name: str
    dtype: DType
    row_shape: tuple[int, ...] = ()

    @property
    def datatype(self) -> str:
        """The protocol's name of the type."""
        return _DATATYPES[self.dtype][0]

    @property
    def config_type(self) -> int:
        """The number of the type in a model configuration."""
        return _DATATYPES[self.dtype][1]


def tensor_metadata(pipeline: Pipeline) -> tuple[list[OipTensor], list[OipTensor]]:
    """Returns the inputs and outputs of a pipeline, seen as a model's."""
    inputs = []
    for name, field in pipeline.spec.request.fields.items():
        shape = tuple(field.shape) if isinstance(field, TensorField) else ()
        shape = shape if field.list_items is None else (-1,)
        inputs.append(OipTensor(name, field.column_dtype, shape))
    outputs = []
    for output in pipeline.outputs:
        shape = output.row_shape if output.length_of is None else (-1, *output.row_shape[1:])
        outputs.append(OipTensor(output.name, output.dtype, shape))
    return inputs, outputs


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


def outcomes_to_outputs(
    pipeline: Pipeline,
    responses: Sequence[prediction_service_pb2.PredictResponse],
    names: Sequence[str],
    answer: Any,
) -> None:
    """Adds the predictions to an `inference.ModelInferResponse` as raw outputs.

    Args:
        pipeline: that made them.
        responses: one per row.
        names: outputs wanted; empty means all.
        answer: the message to fill.

    Raises:
        InvalidField: an output that the pipeline does not have.
    """
    known = {tensor.name: tensor for tensor in tensor_metadata(pipeline)[1]}
    for name in names or known:
        if name not in known:
            raise InvalidField("unknown output", field=f"outputs.{name[:64]}")
        tensor = known[name]
        values = [response.prediction[name] for response in responses]
        tensor = replace(tensor, row_shape=_shape_of(tensor, values))
        values = _without_nulls(values, tensor)
        answer.outputs.add(
            name=name, datatype=tensor.datatype, shape=[len(values), *tensor.row_shape]
        )
        answer.raw_output_contents.append(_to_raw(values, tensor))


def _shape_of(tensor: OipTensor, values: Sequence[tensor_pb2.Value]) -> tuple[int, ...]:
    """Returns the shape of one row of an output, lists as long as they are.

    Lists of one request are equally long: so are the inputs that say how long.
    """
    if -1 not in tensor.row_shape:
        return tensor.row_shape
    shapes = {tuple(value.tensor_value.shape) for value in values if value.WhichOneof("kind")}
    return shapes.pop() if shapes else (0, *tensor.row_shape[1:])


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
    # Clients of Triton often send scalars as [rows, 1].
    is_list = tensor.row_shape == (-1,)
    row_shape = tensor.row_shape if not is_list else shape[1:2]
    if (
        not shape
        or len(row_shape) != len(tensor.row_shape)
        or shape[1:]
        not in (
            row_shape,
            (*row_shape, 1),
        )
    ):
        expected = ["rows", *("items" if size == -1 else size for size in tensor.row_shape)]
        raise InvalidTensor(f"shape {list(shape)}, expected {expected}", field=f"{path}.shape")
    return int(shape[0]), tuple(row_shape)


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
    field = _DATATYPES[tensor.dtype][2]
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


def _to_raw(values: Sequence[tensor_pb2.Value], tensor: OipTensor) -> bytes:
    if tensor.row_shape:
        if tensor.dtype.is_ragged:
            return _length_prefixed(
                piece
                for value in values
                for piece in tensor_to_array(value.tensor_value, "prediction")[1].ravel().tolist()
            )
        return b"".join(value.tensor_value.data for value in values)
    if tensor.dtype is DType.STRING:
        return _length_prefixed(value.string_value for value in values)
    if tensor.dtype is DType.BYTES:
        return _length_prefixed(value.bytes_value for value in values)
    if tensor.dtype is DType.TIMESTAMP:
        items: list[Any] = [value.timestamp_value.ToMicroseconds() for value in values]
    else:
        items = [_number(value, _kind(tensor.dtype)) for value in values]
    return np.array(items, tensor.dtype.numpy).tobytes()


def _without_nulls(values: Sequence[tensor_pb2.Value], tensor: OipTensor) -> list[tensor_pb2.Value]:
    """Returns the values with NaN for null. Raises FailedPrecondition where NaN cannot be said."""
    filled = list(values)
    for row, value in enumerate(values):
        if value.WhichOneof("kind") is not None:
            continue
        if not tensor.dtype.is_floating:
            raise FailedPrecondition(
                f"row {row}: null, which this protocol cannot say in {tensor.datatype}",
                field=f"outputs.{tensor.name}",
                reason=Reason.INVALID_FIELD,
            )
        nan = np.full(tensor.row_shape, np.nan, tensor.dtype.numpy)
        filled[row] = (
            tensor_pb2.Value(tensor_value=array_to_tensor(nan, tensor.dtype))
            if tensor.row_shape
            else tensor_pb2.Value(double_value=np.nan)
        )
    return filled


def _length_prefixed(elements: Iterable[str | bytes]) -> bytes:
    pieces = (element.encode() if isinstance(element, str) else element for element in elements)
    return b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces)


def _number(value: tensor_pb2.Value, kind: str) -> Any:
    if value.WhichOneof("kind") == "tensor_value":
        # What int64 cannot hold, such as uint64 beyond 2**63, comes as a tensor of one element.
        return tensor_to_array(value.tensor_value, "prediction")[1].item()
    return getattr(value, kind)


def _kind(dtype: DType) -> str:
    if dtype is DType.BOOL:
        return "bool_value"
    return "double_value" if dtype.is_floating else "int64_value"
