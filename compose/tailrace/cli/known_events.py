"""Events from files, in the order in which they became known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tailrace.cli.local.errors import LaunchError
from tailrace.client import Event

_OWN_COLUMNS = ("id", "event_time", "known_at")


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """One event.

    Attributes:
        known_at: when it became known, with its offset.
        type: name of the event type.
        event: the event.
    """

    known_at: datetime
    type: str
    event: Event


def read_events(files: Mapping[str, Path], first: datetime, last: datetime) -> list[KnownEvent]:
    """Returns the events that became known from `first` to `last`, in that order.

    Those known at once come in the order of their ids.

    Args:
        files: a Parquet file for each event type, with the columns id, event_time and known_at
            (instants with a time zone); its other columns are fields, where they are not null.
        first: with its offset.
        last: with its offset; itself included.

    Raises:
        LaunchError: a file is not there, or lacks one of these columns.
    """
    events = [
        event for name, file in files.items() for event in _read_file(name, file, first, last)
    ]
    return sorted(events, key=lambda event: (event.known_at, event.event.id))


def _read_file(name: str, file: Path, first: datetime, last: datetime) -> list[KnownEvent]:
    if not file.is_file():
        raise LaunchError(f"there is no file {file} with the events of type {name!r}")
    table = pq.read_table(file)
    for column in _OWN_COLUMNS:
        if column not in table.column_names:
            found = ", ".join(table.column_names)
            raise LaunchError(f"{file} has no column {column!r}, only: {found}")
    known_at = table["known_at"]
    bounds = [pa.scalar(bound, known_at.type) for bound in (first, last)]
    is_wanted = pc.and_(pc.greater_equal(known_at, bounds[0]), pc.less_equal(known_at, bounds[1]))
    rows: Sequence[dict[str, Any]] = table.filter(is_wanted).to_pylist()
    return [KnownEvent(row["known_at"], name, _event(row)) for row in rows]


def _event(row: dict[str, Any]) -> Event:
    fields = {
        name: value for name, value in row.items() if name not in _OWN_COLUMNS and value is not None
    }
    return Event(
        id=row["id"], event_time=row["event_time"], known_at=row["known_at"], fields=fields
    )
