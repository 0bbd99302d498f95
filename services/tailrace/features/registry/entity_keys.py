"""Reads the keys of entities that a call asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tailrace.features.entity_key import KeyEncoder
from tailrace.runtime.columns import Array
from tailrace.runtime.errors import InvalidField
from tailrace.runtime.pipeline.feature import EntityKey
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.timestamps import MAX_TIMESTAMP_S, MIN_TIMESTAMP_S, NS_PER_US, US_PER_S
from tailrace.v1 import tensor_pb2

_NS_PER_S = 1_000_000_000


def entity_keys(
    keys: Sequence[EntityKey], entities: Sequence[Mapping[str, tensor_pb2.Value]]
) -> list[str]:
    """Returns the key of each entity as it is stored.

    Args:
        keys: of the view, in order.
        entities: value of each key, by name.

    Raises:
        InvalidField: a key is missing, unknown or of another type.
    """
    names = [key.name for key in keys]
    for place, entity in enumerate(entities):
        for name in entity:
            if name not in names:
                hint = nearest(name, names)
                suggestion = f" (did you mean {hint!r}?)" if hint else ""
                found = f"the unknown key {name[:64]!r}, expected {', '.join(names)}{suggestion}"
                raise InvalidField(found, field=f"entities[{place}].keys")
    columns = [_column(key, entities) for key in keys]
    return KeyEncoder(keys).encode(columns)


def instant_us(seconds: int, nanos: int, field: str) -> int:
    """Returns the instant of a Timestamp in microseconds since 1970. Raises InvalidField."""
    if not MIN_TIMESTAMP_S <= seconds <= MAX_TIMESTAMP_S or not 0 <= nanos < _NS_PER_S:
        raise InvalidField("an instant outside of the years 1 to 9999", field=field)
    return seconds * US_PER_S + nanos // NS_PER_US


def _column(key: EntityKey, entities: Sequence[Mapping[str, tensor_pb2.Value]]) -> Array:
    column = np.empty(len(entities), key.dtype.numpy)
    for place, entity in enumerate(entities):
        field = f"entities[{place}].keys.{key.name}"
        if key.name not in entity:
            raise InvalidField(f"no key {key.name!r}, of type {key.type}", field=field)
        column[place] = _value(key, entity[key.name], field)
    return column


def _value(key: EntityKey, value: tensor_pb2.Value, field: str) -> str | int | bool:
    kind = value.WhichOneof("kind")
    if kind != f"{key.type}_value":
        found = "null" if kind is None else f"a value of type {kind.removesuffix('_value')}"
        raise InvalidField(f"{found}, expected {key.type}", field=field)
    if key.type == "string":
        return value.string_value
    if key.type == "int64":
        return value.int64_value
    if key.type == "bool":
        return value.bool_value
    return instant_us(value.timestamp_value.seconds, value.timestamp_value.nanos, field)
