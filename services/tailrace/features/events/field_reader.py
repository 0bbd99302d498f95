"""Readers of the fields of events: what an event type declares, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.features.events.problem import EventRefused
from tailrace.runtime.pipeline.event_type import EventField
from tailrace.runtime.timestamps import NS_PER_US, US_PER_S
from tailrace.runtime.value_kinds import KIND_NAMES
from tailrace.v1.tensor_pb2 import Value

MAX_EXACT = 2**53
"""Integers up to here are exact as a float64, which is what the store computes with."""

FieldValue: TypeAlias = str | int | float | bool | None
"""A field as views see it; instants are microseconds since 1970."""

ReadField: TypeAlias = Callable[[Value], FieldValue]


def field_reader(name: str, field: EventField) -> ReadField:
    """Returns what reads one field: its value, or None where it is null.

    What it returns raises EventRefused for a value of another type or out of range.
    """
    path = f"fields.{name}"
    read = {
        "string": _string,
        "int64": _int64,
        "double": _double,
        "bool": _bool,
        "timestamp": _timestamp,
    }[field.type]
    return read(path, field)


def instant_us(instant: Timestamp, path: str) -> int:
    """Returns an instant as microseconds since 1970. Raises EventRefused if it is out of range."""
    nanos = instant.nanos
    found = instant.seconds * US_PER_S + nanos // NS_PER_US
    if not 0 <= nanos < 1_000_000_000 or not -MAX_EXACT <= found <= MAX_EXACT:
        raise EventRefused("found a timestamp out of range, expected 1685 to 2255", field=path)
    return found


def _string(path: str, field: EventField) -> ReadField:
    longest = field.max_length

    def read(value: Value) -> FieldValue:
        text = value.string_value
        if not text and value.WhichOneof("kind") != "string_value":
            return _absent(value, path, "a string")
        if len(text) > longest:
            raise EventRefused(
                f"found {len(text)} characters, at most {longest} are allowed", field=path
            )
        return text

    return read


def _int64(path: str, field: EventField) -> ReadField:
    def read(value: Value) -> FieldValue:
        number = value.int64_value
        if not number and value.WhichOneof("kind") != "int64_value":
            return _absent(value, path, "an int64")
        if not -MAX_EXACT <= number <= MAX_EXACT:
            raise EventRefused(f"found {number}, expected -2^53 to 2^53", field=path)
        return number

    return read


def _double(path: str, field: EventField) -> ReadField:
    def read(value: Value) -> FieldValue:
        number = value.double_value
        if not number:
            kind = value.WhichOneof("kind")
            if kind == "int64_value" and abs(value.int64_value) <= MAX_EXACT:
                # JSON has one kind of number.
                return float(value.int64_value)
            if kind != "double_value":
                return _absent(value, path, "a double")
        if not math.isfinite(number):
            raise EventRefused(f"found {number}, expected a finite number", field=path)
        return number

    return read


def _bool(path: str, field: EventField) -> ReadField:
    def read(value: Value) -> FieldValue:
        found = value.bool_value
        if not found and value.WhichOneof("kind") != "bool_value":
            return _absent(value, path, "a bool")
        return found

    return read


def _timestamp(path: str, field: EventField) -> ReadField:
    def read(value: Value) -> FieldValue:
        if value.WhichOneof("kind") != "timestamp_value":
            return _absent(value, path, "a timestamp")
        return instant_us(value.timestamp_value, path)

    return read


def _absent(value: Value, path: str, expected: str) -> FieldValue:
    kind = value.WhichOneof("kind")
    if kind is not None:
        raise EventRefused(f"found {KIND_NAMES[kind]}, expected {expected}", field=path)
    return None
