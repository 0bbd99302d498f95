"""Between numpy arrays and Triton's raw tensors.

Layout: numbers are little-endian and row-major; each element of type BYTES is its length as
uint32 little-endian, then its bytes (`raw_input_contents` in Triton's grpc_service.proto).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import ModelOutputInvalid

_FROM_TRITON = {
    "BOOL": DType.BOOL,
    "INT8": DType.INT8,
    "INT16": DType.INT16,
    "INT32": DType.INT32,
    "INT64": DType.INT64,
    "UINT8": DType.UINT8,
    "UINT16": DType.UINT16,
    "UINT32": DType.UINT32,
    "UINT64": DType.UINT64,
    "FP16": DType.FLOAT16,
    "FP32": DType.FLOAT32,
    "FP64": DType.FLOAT64,
    "BYTES": DType.BYTES,
}

_LENGTH = struct.Struct("<I")


def from_triton_type(name: str) -> DType | None:
    """Returns the element type that Triton calls `name`; None for one that Tailrace lacks."""
    return _FROM_TRITON.get(name)


def to_raw(values: Array) -> bytes:
    """Returns an array as Triton's raw bytes; `object` arrays hold str (sent as UTF-8) or bytes."""
    if values.dtype != np.dtype(object):
        return values.tobytes()
    pieces: list[bytes] = []
    for element in values.ravel().tolist():
        data = element.encode() if isinstance(element, str) else element
        pieces += (_LENGTH.pack(len(data)), data)
    return b"".join(pieces)


def from_raw(name: str, type_name: str, shape: Sequence[int], data: bytes) -> Array:
    """Returns Triton's raw bytes as an array; numbers are a read-only view of `data`.

    Args:
        name: of the output, for the error.
        type_name: Triton's name of the element type.
        shape: of the tensor.
        data: its elements.

    Raises:
        ModelOutputInvalid: the type is unknown, or the data is not what type and shape say.
    """
    dtype = _FROM_TRITON.get(type_name)
    if dtype is None:
        raise ModelOutputInvalid(f"the model's output {name!r} is of the unknown type {type_name}")
    if dtype is DType.BYTES:
        return _bytes_from_raw(name, math.prod(shape), data).reshape(shape)
    if math.prod(shape) * dtype.numpy.itemsize != len(data) or min(shape, default=0) < 0:
        raise ModelOutputInvalid(
            f"the model's output {name!r} has {len(data)} bytes for {type_name} of shape "
            f"{list(shape)}"
        )
    return np.ndarray(tuple(shape), dtype.numpy, data)


def _bytes_from_raw(name: str, elements: int, data: bytes) -> Array:
    pieces = []
    start = 0
    while start + _LENGTH.size <= len(data):
        end = start + _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
        pieces.append(data[start + _LENGTH.size : end])
        start = end
    if start != len(data) or len(pieces) != elements:
        raise ModelOutputInvalid(
            f"the model's output {name!r} is not the {elements} byte strings that it claims to be"
        )
    values = np.empty(elements, dtype=object)
    values[:] = pieces
    return values
