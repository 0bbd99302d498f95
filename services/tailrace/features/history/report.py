"""What was computed, and what was refused of the events and rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ReadReport:
    """What was read of one file.

    Attributes:
        read: events or rows in it.
        refused: how many were refused, by reason.
        known_when_happened: whether events came without known_at, and event_time stood for it.
    """

    read: int
    refused: dict[str, int]
    known_when_happened: bool = False


@dataclass(slots=True)
class ViewReport:
    """What became of one view.

    Attributes:
        applied: events or rows that it was made of.
        duplicates: events that were there already.
        late: events that came too late.
        missing: instants without a value of any kind.
    """

    applied: int
    missing: int
    duplicates: int = 0
    late: int = 0


@dataclass(slots=True)
class HistoryReport:
    """What became of everything.

    Attributes:
        instants: how many there were.
        seconds: how long it took.
        events: what was read, by event type.
        rows: what was read, by the name of a static view.
        views: by the name of a view in the training set.
    """

    instants: int = 0
    seconds: float = 0.0
    events: dict[str, ReadReport] = field(default_factory=dict)
    rows: dict[str, ReadReport] = field(default_factory=dict)
    views: dict[str, ViewReport] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        return {
            "instants": self.instants,
            "seconds": round(self.seconds, 3),
            "events": {name: _read(each) for name, each in self.events.items()},
            "rows": {name: _read(each) for name, each in self.rows.items()},
            "views": {name: _view(each) for name, each in self.views.items()},
        }


def _read(report: ReadReport) -> dict[str, Any]:
    assumed = {"known_at": "event_time"} if report.known_when_happened else {}
    return {"read": report.read, "refused": report.refused, **assumed}


def _view(report: ViewReport) -> dict[str, Any]:
    return {
        "applied": report.applied,
        "duplicates": report.duplicates,
        "late": report.late,
        "missing": report.missing,
    }
