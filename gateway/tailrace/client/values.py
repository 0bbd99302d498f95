"""Between Python values and `tailrace.v1.Value`, without loss either way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.client.errors import InvalidRequest
from tailrace.client.tensor import EPOCH, Tensor, microseconds
from tailrace.v1.tensor_pb2 import Value

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

PythonValue: TypeAlias = str | int | float | bool | datetime | bytes | Tensor | None
"""What a field of a prediction may be."""


class Array(Protocol):
    """A numpy array or scalar, as far as the client looks at it."""

    @property
    def dtype(self) -> Any:
        """Type of the elements."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""

    def tobytes(self) -> bytes:
        """The elements in row-major order."""


InputValue: TypeAlias = PythonValue | Array
"""What a field of a request may be: a Python value, a numpy array or a numpy scalar."""

Fields: TypeAlias = Mapping[str, InputValue]
"""A request, by field name."""


def to_value(value: InputValue, field: str) -> Value:
    """Returns the value as a message; None becomes null.

    Args:
        value: text, an integer of 64 bits, a float, a boolean, a datetime with an offset,
            bytes, a `Tensor`, a numpy array or scalar, or None.
        field: name of the field, for the error.

    Raises:
        InvalidRequest: anything else; `field` and message say what and where.
    """
    try:
        make = _MAKERS.get(type(value))
        return make(value) if make is not None else _from_subclass(value)
    except ValueError as error:
        raise InvalidRequest(str(error), reason="INVALID_FIELD", field=f"fields.{field}") from error


def from_value(value: Value) -> PythonValue:
    """Returns the Python value: datetimes are in UTC, tensors a `Tensor`, null is None.

    Raises:
        ValueError: a tensor of a type that this version does not know.
    """
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "timestamp_value":
        moment = value.timestamp_value
        return EPOCH + timedelta(seconds=moment.seconds, microseconds=moment.nanos // 1000)
    if kind == "tensor_value":
        return Tensor.of_message(value.tensor_value)
    plain: PythonValue = getattr(value, kind)
    return plain


def _string(value: str) -> Value:
    try:
        return Value(string_value=value)
    except (UnicodeError, ValueError) as error:
        raise ValueError("text that is not valid Unicode: it holds half a character") from error


def _integer(value: int) -> Value:
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"{value} does not fit a signed 64-bit integer")
    return Value(int64_value=value)


def _instant(value: datetime) -> Value:
    seconds, fraction_us = divmod(microseconds(value), 1_000_000)
    return Value(timestamp_value=Timestamp(seconds=seconds, nanos=fraction_us * 1000))


_MAKERS: dict[type, Callable[[Any], Value]] = {
    str: _string,
    int: _integer,
    float: lambda value: Value(double_value=value),
    bool: lambda value: Value(bool_value=value),
    bytes: lambda value: Value(bytes_value=value),
    datetime: _instant,
    Tensor: lambda value: Value(tensor_value=value.to_message()),
    type(None): lambda value: Value(),
}


def _from_subclass(value: Any) -> Value:
    # Whoever passes something of numpy's has imported it; the client never does.
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return Value(tensor_value=Tensor.of_array(value).to_message())
    if numpy is not None and isinstance(value, numpy.generic):
        return _from_numpy_scalar(value)
    if isinstance(value, str):
        return _string(str.__str__(value))
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return Value(double_value=float(value))
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, (bytearray, memoryview)):
        return Value(bytes_value=bytes(value))
    if isinstance(value, (list, tuple)):
        raise ValueError("a list; say what it holds: Tensor.of([...], 'float32')")
    kind = type(value)
    raise ValueError(
        f"a value of type {kind.__module__}.{kind.__qualname__}; possible are str, int, float, "
        "bool, datetime, bytes, None, Tensor and numpy arrays"
    )


def _from_numpy_scalar(value: Any) -> Value:
    make = {"b": bool, "i": int, "u": int, "f": float, "U": str, "S": bytes}.get(value.dtype.kind)
    # A long double would lose digits.
    if make is None or value.dtype.itemsize > 8 and value.dtype.kind == "f":
        raise ValueError(f"a numpy {value.dtype.name}; convert it to a plain Python value")
    plain = make(value)
    return _MAKERS[type(plain)](plain)
