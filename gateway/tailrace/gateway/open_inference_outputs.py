"""From predictions to the output tensors of the Open Inference Protocol."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tailrace.gateway.open_inference_tensors import OipTensor, tensor_metadata
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import FailedPrecondition, InvalidField, Reason
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.wire import array_to_tensor, tensor_to_array
from tailrace.v1 import prediction_service_pb2, tensor_pb2


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
