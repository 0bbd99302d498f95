"""Turns events into updates of one windowed view."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tailrace.features.entity_key import KeyEncoder
from tailrace.features.events.event_reader import ReadEvents
from tailrace.features.events.field_reader import FieldValue
from tailrace.features.windows.schema import EventInput, window_schema
from tailrace.features.windows.updates import Update
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.aggregate import Condition
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView

_Fields: TypeAlias = dict[str, list[FieldValue]]
_Holds: TypeAlias = Callable[[_Fields], list[bool]]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": operator.eq,
    "not_equals": operator.ne,
    "one_of": lambda value, allowed: value in allowed,
    "at_least": operator.ge,
    "at_most": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}


class ViewUpdates:
    """What the events of one type change in one view; made once, when its file is loaded.

    Attributes:
        schema: what the store keeps for the view.
        lateness: how far an event may lie behind the newest one of its entity.
    """

    def __init__(self, view: FeatureView, event_type: EventType) -> None:
        """Compiles the view.

        Args:
            view: a windowed one.
            event_type: of its events.
        """
        self.schema = window_schema(view.of_events(event_type))
        self.lateness = view.events.lateness
        self._key_fields = [
            (view.events.keys.get(key.name, key.name), key.dtype) for key in view.keys
        ]
        self._keys = KeyEncoder(view.keys)
        self._inputs = [(each.of, _conditions(each)) for each in self.schema.inputs]
        self._distinct = [(each.of, _conditions(each)) for each in self.schema.distinct_inputs]

    def updates(self, events: ReadEvents) -> list[Update]:
        """Returns one update per event, in order."""
        count = len(events.places)
        fields = events.fields
        keys = self._keys.encode(
            [_key_column(fields[name], dtype) for name, dtype in self._key_fields]
        )
        values = [_numbers(of, conditions, fields, count) for of, conditions in self._inputs]
        distinct = [_texts(of, conditions, fields) for of, conditions in self._distinct]
        return [
            Update(*parts)
            for parts in zip(
                keys,
                events.digests,
                events.event_times_us,
                zip(*values, strict=True) if values else [()] * count,
                zip(*distinct, strict=True) if distinct else [()] * count,
                strict=True,
            )
        ]


def distinct_bytes(value: FieldValue) -> bytes | None:
    """Returns the one form in which a value is counted among distinct ones; None for none.

    Text is UTF-8, integers are decimal, booleans `0` or `1`.
    """
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else b"%d" % value


def _key_column(values: Sequence[FieldValue], dtype: DType) -> Array:
    column: Array = np.empty(len(values), dtype.numpy)
    column[:] = values
    return column


def _conditions(chosen: EventInput) -> list[_Holds]:
    return [_condition(condition) for condition in chosen.where]


def _condition(condition: Condition) -> _Holds:
    ((test, operand),) = condition.tests().items()
    compare = _COMPARISONS[test]
    name = condition.field
    return lambda fields: [value is not None and compare(value, operand) for value in fields[name]]


def _numbers(
    of: str | None, conditions: Sequence[_Holds], fields: _Fields, count: int
) -> list[float]:
    numbers = [1.0] * count if of is None else list(map(_number, fields[of]))
    for holds in conditions:
        numbers = [
            number if held else math.nan
            for number, held in zip(numbers, holds(fields), strict=True)
        ]
    return numbers


def _number(value: FieldValue) -> float:
    if value is None:
        return math.nan
    # Of text, only whether there is one can be counted.
    return 1.0 if isinstance(value, str) else float(value)


def _texts(of: str | None, conditions: Sequence[_Holds], fields: _Fields) -> list[bytes | None]:
    assert of is not None, "distinct needs a field"
    texts = list(map(distinct_bytes, fields[of]))
    for holds in conditions:
        texts = [text if held else None for text, held in zip(texts, holds(fields), strict=True)]
    return texts
