"""Why an event was not taken in, and what became of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.runtime.errors import Reason


class EventRefused(Exception):
    """An event is not what its type says.

    Attributes:
        message: for a developer.
        field: path of the field at fault, such as `fields.origin`, or empty.
        reason: machine-readable.
    """

    def __init__(
        self, message: str, *, field: str = "", reason: Reason = Reason.INVALID_EVENT
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class EventProblem:
    """Why an event was not taken in, or not by one of its views.

    Attributes:
        index: of the event in its batch.
        view: that refused it; empty if the event itself was refused.
        reason: machine-readable.
        message: for a developer.
        field: path of the field at fault, or empty.
    """

    index: int
    view: str
    reason: Reason
    message: str
    field: str = ""


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch of events.

    Attributes:
        accepted: events that changed at least one view, or that no view is made of.
        duplicates: events that every view had already.
        refused: all others.
        problems: what was refused, by index of the event.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    problems: list[EventProblem] = field(default_factory=list)
