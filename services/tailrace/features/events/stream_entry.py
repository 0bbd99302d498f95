"""The form of events in Redis streams, and which stream an event belongs in.

An entry has the field `event`, the name of its type, and either `data`, a serialised
`tailrace.v1.Event`, or `id`, `event_time`, `fields` (a JSON object) and, if it is not the time of
the entry's own id, `known_at`. Instants are text as in RFC 3339, with an offset. It may have
`traceparent`, which names the span that it was made in as W3C's header does.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.features.events.problem import EventRefused
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.timestamps import NS_PER_US, US_PER_S, timestamp_us
from tailrace.v1.event_service_pb2 import Event
from tailrace.v1.tensor_pb2 import Value

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class StreamNames:
    """The names of the keys that events travel by.

    Attributes:
        prefix: what all keys begin with.
    """

    prefix: str

    def stream(self, partition: int) -> str:
        """Returns the stream of a partition."""
        return f"{self.prefix}:events:{partition}"

    def lease(self, partition: int) -> str:
        """Returns the key that says who reads a partition."""
        return f"{self.prefix}:events:{partition}:lease"

    @property
    def consumers(self) -> str:
        """The processes that read, by when they were last heard of."""
        return f"{self.prefix}:events:consumers"

    @property
    def dead(self) -> str:
        """The stream of entries that could not be taken in."""
        return f"{self.prefix}:events:dead"


def partition_of(key: str, partitions: int) -> int:
    """Returns the partition of an entity's events: CRC-32 of the key as UTF-8, modulo partitions.

    Args:
        key: of the entity, as `KeyEncoder` writes it. Where one event updates several entities,
            the one whose events have to stay in order.
        partitions: how many there are.
    """
    return zlib.crc32(key.encode()) % partitions


def entry_of(event_type: str, event: Event, traceparent: str = "") -> dict[str, bytes]:
    """Returns the entry that holds an event, made in the span that `traceparent` names, if any."""
    entry = {"event": event_type.encode(), "data": event.SerializeToString()}
    if traceparent:
        entry["traceparent"] = traceparent.encode()
    return entry


def event_of(entry_id: str, entry: Mapping[bytes, bytes], event_type: EventType) -> Event:
    """Returns the event in an entry. Raises EventRefused.

    Args:
        entry_id: id of the entry, whose time is when the event became known, unless it says so.
        entry: its fields.
        event_type: as `type_name` says.
    """
    data = entry.get(b"data")
    try:
        event = Event.FromString(data) if data is not None else _event_of_text(entry, event_type)
    except DecodeError as error:
        message = "it cannot be read as a tailrace.v1.Event"
        raise EventRefused(message, field="data") from error
    if not event.HasField("known_at"):
        event.known_at.seconds, milliseconds = divmod(int(entry_id.partition("-")[0]), 1000)
        event.known_at.nanos = milliseconds * 1_000_000
    return event


def type_name(entry: Mapping[bytes, bytes]) -> str:
    """Returns the name of an entry's event type. Raises EventRefused if there is none."""
    name = _text(entry, "event")
    if not name:
        raise EventRefused("the entry does not say its event type", field="event")
    return name


def _event_of_text(entry: Mapping[bytes, bytes], event_type: EventType) -> Event:
    event = Event(id=_text(entry, "id"))
    for name, target in (("event_time", event.event_time), ("known_at", event.known_at)):
        if name.encode() in entry:
            _set_instant(target, _text(entry, name), name)
    text = _text(entry, "fields")
    try:
        fields = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise EventRefused("it is not JSON", field="fields") from error
    if not isinstance(fields, dict):
        raise EventRefused("found no JSON object", field="fields")
    for name, content in fields.items():
        declared = event_type.fields.get(name)
        is_instant = declared is not None and declared.type == "timestamp"
        try:
            _set_value(event.fields[name], content, f"fields.{name}", is_instant=is_instant)
        except UnicodeError as error:
            # JSON may hold half a character, such as "\\ud800".
            raise EventRefused("it is no valid Unicode", field="fields") from error
    return event


def _set_value(target: Value, content: Any, path: str, *, is_instant: bool) -> None:
    if content is None:
        return
    if is_instant and isinstance(content, str):
        # Of 1970 itself nothing but zeros would be set.
        target.timestamp_value.SetInParent()
        _set_instant(target.timestamp_value, content, path)
    elif isinstance(content, str):
        target.string_value = content
    elif isinstance(content, bool):
        target.bool_value = content
    elif isinstance(content, int) and abs(content) <= _INT64_MAX:
        target.int64_value = content
    elif isinstance(content, (int, float)):
        target.double_value = float(content) if isinstance(content, float) else float("inf")
    else:
        raise EventRefused("found a JSON array or object, expected a single value", field=path)


def _set_instant(target: Timestamp, text: str, path: str) -> None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = "it is no instant such as 2013-01-01T05:00:00Z"
        raise EventRefused(message, field=path) from error
    if moment.tzinfo is None:
        raise EventRefused("the instant has no offset, such as Z", field=path)
    seconds, fraction_us = divmod(timestamp_us(moment), US_PER_S)
    target.seconds, target.nanos = seconds, fraction_us * NS_PER_US


def _text(entry: Mapping[bytes, bytes], name: str) -> str:
    try:
        return entry.get(name.encode(), b"").decode()
    except UnicodeDecodeError as error:
        raise EventRefused("it is not UTF-8", field=name) from error
