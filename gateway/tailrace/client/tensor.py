"""Tensors without numpy: the layout of `tailrace/v1/tensor.proto` in plain Python.

Where the caller has numpy, arrays are taken as they are and given back by `Tensor.numpy`; this
module imports it only then.
"""

from __future__ import annotations

import importlib
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tailrace.v1 import tensor_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Letters of `struct`, all of a fixed size when little-endian is asked for.
_LETTERS = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
    "timestamp": "q",
}
_RAGGED = ("string", "bytes")

DTYPES = (*_LETTERS, *_RAGGED)
"""Names of the element types, as pipeline files spell them."""

_TO_WIRE = {name: tensor_pb2.DataType.Value(f"DATA_TYPE_{name.upper()}") for name in DTYPES}
_FROM_WIRE = {number: name for name, number in _TO_WIRE.items()}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A dense tensor in row-major order.

    Attributes:
        dtype: element type, one of `DTYPES`. A `timestamp` is an int64 that counts
            microseconds since 1970 in UTC.
        shape: size of each dimension; empty for one element.
        data: the elements, little-endian; of strings and bytes, all elements concatenated.
        offsets: strings and bytes only: uint32 little-endian, where each element begins in
            `data`, and where the last one ends.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    offsets: bytes = b""

    @classmethod
    def of(cls, values: object, dtype: str) -> Tensor:
        """Returns the tensor of nested lists, or of one plain value.

        Args:
            values: numbers, booleans, text, bytes or datetimes with an offset, in lists of
                equal length on every level.
            dtype: element type, one of `DTYPES`. Floats are rounded to it; integers have to fit.

        Raises:
            ValueError: unknown dtype, lists of unequal length, or an element that is no `dtype`.
        """
        if dtype not in _TO_WIRE:
            raise ValueError(f"unknown dtype {dtype!r}; known: {', '.join(DTYPES)}")
        shape = _shape_of(values)
        elements = list(_flatten(values, shape))
        if dtype in _RAGGED:
            pieces = [_piece(element, dtype) for element in elements]
            return cls(dtype, shape, b"".join(pieces), _offsets_of(pieces))
        plain = [_plain(element, dtype) for element in elements]
        try:
            data = struct.pack(f"<{len(plain)}{_LETTERS[dtype]}", *plain)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{_first_misfit(plain, dtype)!r} does not fit {dtype}") from error
        return cls(dtype, shape, data)

    @classmethod
    def of_array(cls, array: Any) -> Tensor:
        """Returns the tensor of a numpy array, whatever its byte order and strides.

        Raises:
            ValueError: an array of complex, long double, structured or other objects, or of
                datetime64, which has no time zone.
        """
        name = str(array.dtype.name)
        if array.dtype.kind in "biuf" and name in _LETTERS:
            little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
            return cls(name, tuple(array.shape), little_endian.tobytes())
        elements = array.ravel().tolist()
        for dtype, kind in (("string", str), ("bytes", bytes)):
            if array.dtype.kind in "USO" and all(isinstance(item, kind) for item in elements):
                pieces = [_piece(element, dtype) for element in elements]
                return cls(dtype, tuple(array.shape), b"".join(pieces), _offsets_of(pieces))
        raise ValueError(f"an array of dtype {name} is none of: {', '.join(DTYPES)}")

    @classmethod
    def of_message(cls, message: tensor_pb2.Tensor) -> Tensor:
        """Returns the tensor that a server sent. Raises ValueError for an unknown dtype."""
        dtype = _FROM_WIRE.get(message.dtype)
        if dtype is None:
            raise ValueError(f"unknown dtype number {message.dtype}")
        return cls(dtype, tuple(message.shape), message.data, message.offsets)

    def to_message(self) -> tensor_pb2.Tensor:
        """Returns the tensor as a message."""
        return tensor_pb2.Tensor(
            dtype=_TO_WIRE[self.dtype], shape=self.shape, data=self.data, offsets=self.offsets
        )

    def tolist(self) -> Any:
        """Returns nested lists of Python values, or one value where the shape is empty.

        Raises:
            ValueError: data and shape contradict each other.
        """
        return _nest(iter(self._elements()), self.shape)

    def numpy(self) -> Any:
        """Returns a numpy array of the same shape: read-only; timestamps as int64, text as object.

        Raises:
            ImportError: numpy is not installed.
            ValueError: data and shape contradict each other.
        """
        numpy = importlib.import_module("numpy")
        if self.dtype in _RAGGED:
            array = numpy.empty(math.prod(self.shape), dtype=object)
            array[:] = self._elements()
            return array.reshape(self.shape)
        letter = "?" if self.dtype == "bool" else f"<{_NUMPY_CODES[self.dtype]}"
        return numpy.frombuffer(self.data, letter).reshape(self.shape)

    def _elements(self) -> list[Any]:
        count = math.prod(self.shape)
        if any(size < 0 for size in self.shape):
            raise ValueError(f"shape {list(self.shape)} has a negative dimension")
        if self.dtype in _RAGGED:
            return self._pieces(count)
        layout = struct.Struct(f"<{_LETTERS[self.dtype]}")
        if len(self.data) != count * layout.size:
            raise ValueError(
                f"{len(self.data)} bytes of data where shape {list(self.shape)} of {self.dtype} "
                f"needs {count * layout.size}"
            )
        elements = [element for (element,) in layout.iter_unpack(self.data)]
        if self.dtype == "timestamp":
            return [EPOCH + element * _MICROSECOND for element in elements]
        return elements

    def _pieces(self, count: int) -> list[Any]:
        if len(self.offsets) != 4 * (count + 1):
            raise ValueError(f"{len(self.offsets)} bytes of offsets for {count} elements")
        offsets = struct.unpack(f"<{count + 1}I", self.offsets)
        if offsets[0] != 0 or offsets[-1] != len(self.data) or list(offsets) != sorted(offsets):
            raise ValueError("offsets do not span the data")
        pieces = [self.data[start:end] for start, end in zip(offsets, offsets[1:], strict=False)]
        return [piece.decode() for piece in pieces] if self.dtype == "string" else pieces


_NUMPY_CODES = {
    name: f"{'f' if name.startswith('float') else name[0]}{struct.calcsize('<' + letter)}"
    for name, letter in _LETTERS.items()
} | {"timestamp": "i8"}


def _shape_of(values: object) -> tuple[int, ...]:
    shape = []
    while isinstance(values, (list, tuple)):
        shape.append(len(values))
        if not values:
            break
        values = values[0]
    return tuple(shape)


def _flatten(values: Any, shape: Sequence[int]) -> Iterator[object]:
    if not shape:
        if isinstance(values, (list, tuple)):
            raise ValueError("lists are nested unequally deep")
        yield values
        return
    if not isinstance(values, (list, tuple)):
        raise ValueError("lists are nested unequally deep")
    if len(values) != shape[0]:
        raise ValueError(f"a list of {len(values)} elements beside one of {shape[0]}")
    for part in values:
        yield from _flatten(part, shape[1:])


def _nest(elements: Iterator[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return next(elements)
    return [_nest(elements, shape[1:]) for _ in range(shape[0])]


def _plain(element: Any, dtype: str) -> Any:
    if dtype == "timestamp":
        return microseconds(element)
    if dtype == "bool":
        fits = isinstance(element, bool)
    elif dtype.startswith("float"):
        fits = isinstance(element, (int, float)) and not isinstance(element, bool)
    else:
        fits = isinstance(element, int) and not isinstance(element, bool)
    if not fits:
        raise ValueError(f"{element!r} is no {dtype}")
    return element


def _piece(element: object, dtype: str) -> bytes:
    if dtype == "string" and isinstance(element, str):
        return element.encode()
    if dtype == "bytes" and isinstance(element, bytes):
        return element
    raise ValueError(f"{element!r} is no {dtype}")


def _offsets_of(pieces: Sequence[bytes]) -> bytes:
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    if offsets[-1] >= 2**32:
        raise ValueError(f"{offsets[-1]} bytes do not fit into one tensor")
    return struct.pack(f"<{len(offsets)}I", *offsets)


def _first_misfit(elements: Sequence[Any], dtype: str) -> object:
    layout = struct.Struct(f"<{_LETTERS[dtype]}")
    for element in elements:
        try:
            layout.pack(element)
        except (struct.error, OverflowError):
            return element
    return None


def microseconds(value: object) -> int:
    """Returns the microseconds since 1970-01-01T00:00:00Z.

    Raises:
        ValueError: not a datetime, one without an offset, or one finer than a microsecond
            (as a pandas Timestamp may be).
    """
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is no datetime")
    if value.utcoffset() is None:
        raise ValueError("a datetime without an offset; give it one, such as tzinfo=UTC")
    if getattr(value, "nanosecond", 0):
        raise ValueError("an instant finer than a microsecond")
    # Not by division, and not as a pandas Timedelta, whose arithmetic differs.
    delta = datetime.__sub__(value, EPOCH)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
