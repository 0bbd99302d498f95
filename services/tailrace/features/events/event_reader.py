"""Reads the events of a batch into columns, and says of each other one what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tailrace.features.events.field_reader import FieldValue, field_reader, instant_us
from tailrace.features.events.problem import EventProblem, EventRefused
from tailrace.features.windows.updates import event_digest
from tailrace.runtime.errors import Reason
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.problem import nearest
from tailrace.v1.event_service_pb2 import Event

MAX_ID_BYTES = 256

_US = timedelta(microseconds=1)
_SHOWN_NAME = 64


@dataclass(slots=True)
class ReadEvents:
    """The good events of a batch, in its order, as columns.

    Attributes:
        places: index of each in the batch.
        digests: what stands for each id, see `event_digest`.
        event_times_us: when each happened, microseconds since 1970.
        known_at_us: when each became known, likewise.
        fields: by name of the field, the value of each; None where an event has none.
        problems: of the other events.
    """

    places: list[int]
    digests: list[bytes]
    event_times_us: list[int]
    known_at_us: list[int]
    fields: dict[str, list[FieldValue]]
    problems: list[EventProblem] = field(default_factory=list)


class EventReader:
    """Reads events of one type; made once, when its file is loaded."""

    def __init__(self, event_type: EventType) -> None:
        """Compiles the type."""
        self._type = event_type
        self._max_future_us = event_type.max_future // _US
        self._readers = [
            (name, spec.required, field_reader(name, spec))
            for name, spec in event_type.fields.items()
        ]

    def read(self, events: Sequence[Event], now_us: int) -> ReadEvents:
        """Returns the events as columns.

        Args:
            events: of this type.
            now_us: this clock, microseconds since 1970; when events became known that say nothing.
        """
        rows: list[list[FieldValue]] = []
        read = ReadEvents([], [], [], [], {})
        for place, event in enumerate(events):
            try:
                digest = self._digest(event)
                event_time_us, known_at_us = self._times(event, now_us)
                rows.append(self._fields(event))
            except EventRefused as refused:
                problem = EventProblem(place, "", refused.reason, refused.message, refused.field)
                read.problems.append(problem)
                continue
            read.places.append(place)
            read.digests.append(digest)
            read.event_times_us.append(event_time_us)
            read.known_at_us.append(known_at_us)
        columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in self._readers)
        read.fields = dict(zip((name for name, _, _ in self._readers), columns, strict=True))
        return read

    def _digest(self, event: Event) -> bytes:
        size = len(event.id.encode())
        if not 1 <= size <= MAX_ID_BYTES:
            raise EventRefused(
                f"found an id of {size} bytes, expected 1 to {MAX_ID_BYTES}", field="id"
            )
        return event_digest(event.id)

    def _times(self, event: Event, now_us: int) -> tuple[int, int]:
        if not event.HasField("event_time"):
            raise EventRefused("the event's time is missing", field="event_time")
        event_time_us = instant_us(event.event_time, "event_time")
        known_at_us = now_us
        if event.HasField("known_at"):
            known_at_us = instant_us(event.known_at, "known_at")
        if known_at_us > now_us + self._max_future_us:
            raise self._in_future(known_at_us - now_us, "this clock", "known_at")
        if event_time_us > known_at_us + self._max_future_us:
            raise self._in_future(event_time_us - known_at_us, "known_at", "event_time")
        return event_time_us, known_at_us

    def _in_future(self, ahead_us: int, of: str, field: str) -> EventRefused:
        return EventRefused(
            f"it lies {ahead_us / 1e6:.12g} s after {of}, at most {self._max_future_us / 1e6:g} s "
            "are allowed",
            field=field,
            reason=Reason.EVENT_IN_FUTURE,
        )

    def _fields(self, event: Event) -> list[FieldValue]:
        given = event.fields
        values: list[FieldValue] = []
        found = 0
        for name, required, read in self._readers:
            # Asked first: looking a name up in a map of messages adds it.
            value = None
            if name in given:
                found += 1
                value = read(given[name])
            if value is None and required:
                raise EventRefused("the field is missing", field=f"fields.{name}")
            values.append(value)
        if found != len(given):
            raise self._unknown(event)
        return values

    def _unknown(self, event: Event) -> EventRefused:
        known = self._type.fields
        name = min(name for name in event.fields if name not in known)
        suggestion = nearest(name, known)
        hint = f"; did you mean {suggestion!r}?" if suggestion else ""
        shown = name[:_SHOWN_NAME]
        return EventRefused(
            f"event type {self._type.event!r} has no field {shown!r}{hint}",
            field=f"fields.{shown}",
        )
