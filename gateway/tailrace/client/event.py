"""Events as a sender sees them, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.client.errors import InvalidRequest
from tailrace.client.tensor import microseconds
from tailrace.client.values import Fields, write_value
from tailrace.v1 import event_service_pb2 as messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        id: names the event, 1 to 256 bytes: of two with one id, the second is a duplicate.
        event_time: when it happened, with its offset.
        fields: what is told of it, by name, as its event type declares.
        known_at: when it became known, with its offset; None means when it arrives.
    """

    id: str
    event_time: datetime
    fields: Fields
    known_at: datetime | None = None

    def to_message(self) -> messages.Event:
        """Returns the event as a message. Raises InvalidRequest for what cannot be sent."""
        message = messages.Event()
        try:
            message.id = self.id
            _set_instant(message.event_time, self.event_time)
            if self.known_at is not None:
                _set_instant(message.known_at, self.known_at)
        except (TypeError, ValueError) as error:
            raise InvalidRequest(str(error), reason="INVALID_EVENT") from error
        for name, value in self.fields.items():
            write_value(message.fields[name], value, name)
        return message


@dataclass(frozen=True, slots=True)
class EventProblem:
    """Why an event was not taken in, or not by one of the views that are made of it.

    Attributes:
        place: of the event in the input, from 0.
        id: of the event.
        view: that refused it; empty if the event itself was refused.
        reason: machine-readable: a name of `tailrace.v1.ErrorReason` without its prefix.
        message: for a developer.
        field: path of the field at fault, such as `fields.origin`, or empty.
    """

    place: int
    id: str
    view: str
    reason: str
    message: str
    field: str


@dataclass(slots=True)
class EventReport:
    """What became of events.

    Attributes:
        accepted: events that changed at least one view, or that no view is made of.
        duplicates: events that every view had already, as those that were sent again.
        refused: all others.
        problems: what was refused, in order, unless it was asked for one by one.
        sent_again: batches that were sent once more after the stream broke.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    problems: list[EventProblem] = field(default_factory=list)
    sent_again: int = 0

    @property
    def total(self) -> int:
        """Events that were answered."""
        return self.accepted + self.duplicates + self.refused


def _set_instant(target: Timestamp, instant: datetime) -> None:
    seconds, fraction_us = divmod(microseconds(instant), 1_000_000)
    # 1970 itself has nothing but zeros to set.
    target.SetInParent()
    target.seconds, target.nanos = seconds, fraction_us * 1000
