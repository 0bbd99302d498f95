"""What windowed features are by their definition, the slow way: from the list of all events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from tailrace.features.windows.schema import EventInput, WindowFeature, WindowSchema
from tailrace.features.windows.updates import Outcome, Update, event_digest
from tailrace.runtime.pipeline.aggregate import Aggregate, Condition

FieldValue: TypeAlias = str | float | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


@dataclass(frozen=True)
class Event:
    """Something that happened to an entity."""

    id: str
    key: str
    time_us: int
    fields: Mapping[str, FieldValue]


@dataclass
class _Entity:
    applied: list[Event] = field(default_factory=list)

    @property
    def newest_us(self) -> int | None:
        return max((event.time_us for event in self.applied), default=None)


class WindowModel:
    """A windowed view that keeps all events and computes from them."""

    def __init__(self, schema: WindowSchema) -> None:
        self.schema = schema
        self._entities: dict[str, _Entity] = {}

    def update(self, event: Event) -> Update:
        """Returns the event as the writer takes it."""
        numbers = []
        for chosen in self.schema.inputs:
            value = 1.0 if chosen.of is None else event.fields.get(chosen.of)
            if isinstance(value, str):
                value = 1.0
            numbers.append(value if value is not None and _holds(chosen, event) else math.nan)
        texts = []
        for chosen in self.schema.distinct_inputs:
            assert chosen.of is not None
            value = event.fields.get(chosen.of)
            present = value is not None and _holds(chosen, event)
            texts.append(str(value).encode() if present else None)
        return Update(event.key, event_digest(event.id), event.time_us, numbers, texts)

    def apply(self, events: Sequence[Event]) -> list[Outcome]:
        """Takes in events in order, and returns what became of each."""
        return [self._apply(event) for event in events]

    def newest_us(self, key: str) -> int | None:
        """Returns the time of an entity's newest event."""
        entity = self._entities.get(key)
        return entity.newest_us if entity else None

    def values(self, key: str, at_us: int) -> dict[str, float | None] | None:
        """Returns every feature at an instant, None for no value; None for no such entity.

        A feature that is not kept has no value, and an entity of which any is not, is there.
        """
        lost = self.not_kept(key, at_us)
        entity = self._entities.get(key, _Entity())
        found: dict[str, float | None] = {}
        any_event = False
        for feature in self.schema.features:
            events = [event for event in entity.applied if self._within(feature, event, at_us)]
            any_event = any_event or bool(events)
            found[feature.feature.name] = _compute(feature.aggregate, events)
        if not any_event and not lost:
            return None
        return found | dict.fromkeys(lost)

    def not_kept(self, key: str, at_us: int) -> set[str]:
        """Returns the features whose window begins before what is kept of an entity."""
        newest = self.newest_us(key)
        if newest is None:
            return set()
        lost = set()
        for feature in self.schema.features:
            level = self.schema.levels[feature.level]
            kept_from = newest // level.tile_us - level.retained_tiles + 1
            if _window_start_us(feature.aggregate, at_us) // level.tile_us < kept_from:
                lost.add(feature.feature.name)
        return lost

    def magnitude(self, key: str, name: str) -> float:
        """Returns the sum of absolute values of a field over all events of an entity."""
        numbers = [event.fields.get(name) for event in self._entities[key].applied]
        return sum(abs(number) for number in numbers if isinstance(number, float))

    def _apply(self, event: Event) -> Outcome:
        entity = self._entities.setdefault(event.key, _Entity())
        newest = entity.newest_us
        if newest is not None and event.time_us < newest - self.schema.lateness_us:
            return Outcome.LATE
        if any(event.id == other.id for other in entity.applied):
            return Outcome.DUPLICATE
        entity.applied.append(event)
        return Outcome.APPLIED

    def _within(self, feature: WindowFeature, event: Event, at_us: int) -> bool:
        tile_us = self.schema.levels[feature.level].tile_us
        start = _window_start_us(feature.aggregate, at_us)
        return start // tile_us <= event.time_us // tile_us <= at_us // tile_us


def _window_start_us(aggregate: Aggregate, at_us: int) -> int:
    if isinstance(aggregate.window, timedelta):
        return at_us - aggregate.window // _US
    zone = ZoneInfo(aggregate.timezone)
    local = (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone)
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone)
    return (midnight.astimezone(UTC) - _EPOCH) // _US


def _compute(aggregate: Aggregate, events: Sequence[Event]) -> float | None:
    chosen = EventInput(aggregate.of, tuple(aggregate.where))
    events = [event for event in events if _holds(chosen, event)]
    if aggregate.of is None:
        return len(events)
    events = [event for event in events if event.fields.get(aggregate.of) is not None]
    if aggregate.function == "count":
        return len(events)
    if aggregate.function == "distinct":
        return len({event.fields[aggregate.of] for event in events})
    ordered = sorted(events, key=lambda event: (event.time_us, event_digest(event.id)))
    numbers = [float(event.fields[aggregate.of] or 0.0) for event in ordered]
    if aggregate.function == "sum":
        return math.fsum(numbers)
    if not numbers:
        return None
    mean = math.fsum(numbers) / len(numbers)
    if aggregate.function == "stddev":
        if len(numbers) < 2:
            return None
        return math.sqrt(math.fsum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1))
    by_function = {
        "mean": mean,
        "min": min(numbers),
        "max": max(numbers),
        "first": numbers[0],
        "last": numbers[-1],
    }
    return by_function[aggregate.function]


def _holds(chosen: EventInput, event: Event) -> bool:
    return all(_meets(condition, event.fields.get(condition.field)) for condition in chosen.where)


def _meets(condition: Condition, value: FieldValue) -> bool:
    if value is None:
        return False
    ((test, operand),) = condition.tests().items()
    if isinstance(value, str) or test in ("equals", "not_equals", "one_of"):
        found = {
            "equals": value == operand,
            "not_equals": value != operand,
            "one_of": isinstance(operand, list) and value in operand,
        }
    else:
        found = {
            "at_least": value >= operand,
            "at_most": value <= operand,
            "above": value > operand,
            "below": value < operand,
        }
    return bool(found[test])
