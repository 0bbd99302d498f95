"""Between Python values and `tailrace.v1.Value`, without loss either way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

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


InputValue: TypeAlias = PythonValue | Array | Sequence[str] | Sequence[int]
"""What a field of a request may be: a Python value, a list, a numpy array or a numpy scalar."""

Fields: TypeAlias = Mapping[str, InputValue]
"""A request, by field name."""


def to_value(value: InputValue, field: str) -> Value:
    """Returns the value as a message; None becomes null.

    Args:
        value: text, an integer of 64 bits, a float, a boolean, a datetime with an offset,
            bytes, a list of texts or one of integers, a `Tensor`, a numpy array or scalar, or None.
        field: name of the field, for the error.

    Raises:
        InvalidRequest: anything else; `field` and message say what and where.
    """
    target = Value()
    write_value(target, value, field)
    return target


def write_value(target: Value, value: InputValue, field: str) -> None:
    """Writes the value into an empty message, as `to_value` does, without a copy.

    Raises:
        InvalidRequest: a value that cannot be sent; the message may hold a part of it.
    """
    try:
        write = _WRITERS.get(type(value))
        if write is not None:
            write(target, value)
        else:
            _write_subclass(target, value)
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


def _write_string(target: Value, value: str) -> None:
    try:
        target.string_value = value
    except (UnicodeError, ValueError) as error:
        raise ValueError("text that is not valid Unicode: it holds half a character") from error


def _write_integer(target: Value, value: int) -> None:
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"{value} does not fit a signed 64-bit integer")
    target.int64_value = value


def _write_float(target: Value, value: float) -> None:
    target.double_value = value


def _write_bool(target: Value, value: bool) -> None:
    target.bool_value = value


def _write_bytes(target: Value, value: bytes) -> None:
    target.bytes_value = value


def _write_instant(target: Value, value: datetime) -> None:
    seconds, fraction_us = divmod(microseconds(value), 1_000_000)
    instant = target.timestamp_value
    # 1970 itself has nothing but zeros to set.
    instant.SetInParent()
    instant.seconds, instant.nanos = seconds, fraction_us * 1000


def _write_tensor(target: Value, value: Tensor) -> None:
    target.tensor_value.CopyFrom(value.to_message())


def _write_list(target: Value, value: Sequence[Any]) -> None:
    if value and all(isinstance(item, str) for item in value):
        dtype = "string"
    elif all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        # An empty list, too: the server takes it for one of anything.
        dtype = "int64"
    else:
        raise ValueError(_what_it_is(value))
    try:
        _write_tensor(target, Tensor.of(value, dtype))
    except UnicodeError as error:
        raise ValueError("text that is not valid Unicode: it holds half a character") from error


def _write_null(target: Value, value: None) -> None:
    """Leaves the message empty, which is what null is."""


_WRITERS: dict[type, Callable[[Value, Any], None]] = {
    str: _write_string,
    int: _write_integer,
    float: _write_float,
    bool: _write_bool,
    bytes: _write_bytes,
    datetime: _write_instant,
    Tensor: _write_tensor,
    list: _write_list,
    tuple: _write_list,
    type(None): _write_null,
}


def _write_subclass(target: Value, value: Any) -> None:
    # Whoever passes something of numpy's has imported it; the client never does.
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        _write_tensor(target, Tensor.of_array(value))
    elif numpy is not None and isinstance(value, numpy.generic):
        _write_numpy_scalar(target, value)
    elif isinstance(value, str):
        _write_string(target, str.__str__(value))
    elif isinstance(value, int):
        _write_integer(target, int(value))
    elif isinstance(value, float):
        _write_float(target, float(value))
    elif isinstance(value, datetime):
        _write_instant(target, value)
    elif isinstance(value, (bytearray, memoryview)):
        _write_bytes(target, bytes(value))
    else:
        raise ValueError(_what_it_is(value))


def _what_it_is(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return (
            "a list that is neither of texts nor of integers; say what it holds: "
            "Tensor.of([...], 'float32')"
        )
    kind = type(value)
    return (
        f"a value of type {kind.__module__}.{kind.__qualname__}; possible are str, int, float, "
        "bool, datetime, bytes, None, Tensor and numpy arrays"
    )


def _write_numpy_scalar(target: Value, value: Any) -> None:
    make = {"b": bool, "i": int, "u": int, "f": float, "U": str, "S": bytes}.get(value.dtype.kind)
    # A long double would lose digits.
    if make is None or value.dtype.itemsize > 8 and value.dtype.kind == "f":
        raise ValueError(f"a numpy {value.dtype.name}; convert it to a plain Python value")
    plain = make(value)
    _WRITERS[type(plain)](target, plain)
