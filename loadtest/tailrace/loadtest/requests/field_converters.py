"""Makes values of JSON those of scalar fields where that is simple, and says where it is not."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

_LARGEST_FLOAT32 = 3.4028234663852886e38

# Returns what a field takes for a value of JSON.
Converter = Callable[[Any], Any]


class Unusual(Exception):
    """A value that is not simple, or not right: `json_format` has to look at it."""


def converter_of(field: FieldDescriptor) -> Converter | None:
    """Returns what makes a value of JSON one of a scalar field's; None if the field is no scalar.

    It raises `Unusual`, or what is no such value raises ValueError or TypeError when it is set.
    """
    if field.enum_type is not None:
        return _enum_converter(field)
    return _CONVERTERS.get(field.type)


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str and value.isascii() and value.isdigit():
        return int(value)
    raise Unusual


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unusual
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Unusual
    return value


def _double(value: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    raise Unusual


def _float(value: Any) -> float:
    number = _double(value)
    if not abs(number) <= _LARGEST_FLOAT32:
        raise Unusual
    return number


def _bytes(value: Any) -> bytes:
    if type(value) is not str or len(value) % 4:
        raise Unusual
    return binascii.a2b_base64(value, strict_mode=True)


def _enum_converter(field: FieldDescriptor) -> Converter:
    assert field.enum_type is not None
    numbers = {name: value.number for name, value in field.enum_type.values_by_name.items()}
    known = frozenset(numbers.values())

    def enum(value: Any) -> int:
        if type(value) is str:
            return numbers[value]
        if type(value) is int and value in known:
            return value
        raise Unusual

    return enum


_CONVERTERS: dict[int, Converter] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_BOOL: _flag,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_FLOAT: _float,
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_INT32,
            FieldDescriptor.TYPE_INT64,
            FieldDescriptor.TYPE_UINT32,
            FieldDescriptor.TYPE_UINT64,
            FieldDescriptor.TYPE_SINT32,
            FieldDescriptor.TYPE_SINT64,
            FieldDescriptor.TYPE_FIXED32,
            FieldDescriptor.TYPE_FIXED64,
            FieldDescriptor.TYPE_SFIXED32,
            FieldDescriptor.TYPE_SFIXED64,
        ),
        _whole,
    ),
}
