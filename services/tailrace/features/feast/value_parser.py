"""Reads Feast's values one by one: whatever protobuf allows, and what is wrong with the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.feature_view import Feature
from tailrace.v1.feast_value_pb2 import FeastValue

US_PER_S = 1_000_000
NO_INSTANT = -(2**63)
"""What Feast writes for an instant that is none."""

# From the year 1 to 9999, as `google.protobuf.Timestamp` says.
_INSTANT_SECONDS = range(-62_135_596_800, 253_402_300_800)

# What a feature of each type can be made of without loss.
_KINDS = {
    DType.FLOAT64: ("double_val", "float_val", "int32_val"),
    DType.FLOAT32: ("float_val",),
    DType.INT64: ("int64_val", "int32_val"),
    DType.BOOL: ("bool_val",),
    DType.STRING: ("string_val",),
    DType.TIMESTAMP: ("unix_timestamp_val",),
}
_LIST_KINDS = {
    DType.FLOAT64: ("double_list_val", "float_list_val", "int32_list_val"),
    DType.FLOAT32: ("float_list_val",),
    DType.INT64: ("int64_list_val", "int32_list_val"),
    DType.BOOL: ("bool_list_val",),
}


class BadValue(Exception):
    """A stored value cannot be a feature's; the text says why."""


def parse_value(data: bytes, feature: Feature) -> Any:
    """Returns a stored value as the feature's column holds it; None where Feast has no value.

    A vector is an array of shape [length].

    Raises:
        BadValue: the bytes are no value, or one of another type, length or range, or a category
            without such a value.
    """
    if not data:
        return None
    try:
        message = FeastValue.FromString(data)
    except DecodeError as error:
        raise BadValue("its bytes are no value of Feast's") from error
    kind = message.WhichOneof("val")
    if kind == "null_val":
        return None
    expected = kinds(feature)
    if kind not in expected:
        found = f"a {kind}" if kind else "a kind that no feature can be made of"
        raise BadValue(f"Feast has {found}, and a {feature.type} is made of {_either(expected)}")
    value = getattr(message, kind)
    if feature.length is not None:
        return _vector(value.val, feature.length, feature.dtype)
    if feature.type == "timestamp":
        return None if value == NO_INSTANT else _microseconds(value)
    if feature.values is not None:
        if value not in feature.values:
            raise BadValue("its value is not one of the category's values")
        return feature.values.index(value)
    return value


def kinds(feature: Feature) -> tuple[str, ...]:
    """Returns what Feast's kind of value may be for a feature: fields of `FeastValue`."""
    if feature.values is not None:
        return _KINDS[DType.STRING]
    return (_KINDS if feature.length is None else _LIST_KINDS)[feature.dtype]


def parse_instant(data: bytes) -> int:
    """Returns a stored `google.protobuf.Timestamp` as microseconds since 1970, rounded down.

    Raises:
        BadValue: the bytes are none, or the instant is out of range.
    """
    try:
        instant = Timestamp.FromString(data)
    except DecodeError as error:
        raise BadValue("its bytes are no timestamp") from error
    if instant.seconds not in _INSTANT_SECONDS or instant.nanos not in range(10**9):
        raise BadValue(f"{instant.seconds} s and {instant.nanos} ns since 1970 are out of range")
    return instant.seconds * US_PER_S + instant.nanos // 1000


def _microseconds(seconds: int) -> int:
    if abs(seconds) >= 2**63 // US_PER_S:
        raise BadValue(f"{seconds} s since 1970 are out of range")
    return seconds * US_PER_S


def _vector(elements: Any, length: int, dtype: DType) -> Array:
    if len(elements) != length:
        raise BadValue(f"it is a list of {len(elements)} elements, expected {length}")
    return np.array(elements, dtype.numpy)


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
