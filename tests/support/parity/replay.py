"""Events and lookups in the order in which they really came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from tailrace.runtime.columns import Array
from tailrace.runtime.timestamps import timestamp_us
from tailrace.v1.event_service_pb2 import Event
from tests.support.parity.online_engine import OnlineEngine

_EVENTS_AT_ONCE = 5_000
_META = ("id", "event_time", "known_at")

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Replayed:
    """What serving answered.

    Attributes:
        columns: `<view>.<feature>` and `<view>.missing`, in the order of the instants.
        accepted: events taken in, of all types.
        duplicates: events that every view had already.
        refused: all other events.
    """

    columns: dict[str, Array] = field(default_factory=dict)
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0


async def replay(
    engine: OnlineEngine,
    events: Mapping[str, pa.Table],
    instants: pa.Table,
    on_progress: Progress = lambda done, total: None,
) -> Replayed:
    """Sends every event when it became known, and looks every instant up when it comes.

    Args:
        engine: the online engine, empty.
        events: by type, with the columns id, event_time, known_at, and fields.
        instants: the columns of the keys, and `at`; all instants are timestamps.
        on_progress: told how many instants are done, and how many there are.
    """
    at_us = _instants_us(instants, "at")
    order = np.argsort(at_us, kind="stable")
    sorted_at = at_us[order]
    streams = {name: _Stream(table) for name, table in events.items()}
    # What was known at each instant; those that know the same are looked up together.
    cuts = np.stack([np.searchsorted(s.known_us, sorted_at, "right") for s in streams.values()])
    new = np.flatnonzero((np.diff(cuts, axis=1) != 0).any(axis=0)) + 1
    bounds = [0, *new.tolist(), len(order)]
    found = Replayed()
    keys = {key.name for view in engine.views.values() for key in view.keys}
    for start, stop in zip(bounds, bounds[1:], strict=False):
        if start == stop:
            continue
        await asyncio.gather(
            *[
                _take(engine, name, stream, cut, found)
                for (name, stream), cut in zip(
                    streams.items(), cuts[:, start].tolist(), strict=True
                )
            ]
        )
        rows = order[start:stop]
        asked = instants.select(sorted(keys)).take(pa.array(rows))
        columns = {name: asked[name].combine_chunks() for name in keys}
        for name, values in (await engine.look_up(columns, sorted_at[start:stop])).items():
            if name not in found.columns:
                found.columns[name] = np.zeros(len(order), values.dtype)
            found.columns[name][rows] = values
        on_progress(stop, len(order))
    for name, stream in streams.items():
        await _take(engine, name, stream, len(stream.known_us), found)
    return found


async def _take(
    engine: OnlineEngine, name: str, stream: _Stream, until: int, found: Replayed
) -> None:
    while stream.done < until:
        outcome = await engine.take(name, stream.take(min(until, stream.done + _EVENTS_AT_ONCE)))
        found.accepted += outcome.accepted
        found.duplicates += outcome.duplicates
        found.refused += outcome.refused


class _Stream:
    """The events of one type, in the order in which they became known."""

    def __init__(self, table: pa.Table) -> None:
        known_us = _instants_us(table, "known_at")
        ids = table["id"].to_pylist()
        order = sorted(range(len(ids)), key=lambda row: (known_us[row], ids[row]))
        self.known_us = known_us[order]
        self.done = 0
        self._table = table.take(pa.array(order, pa.int64()))

    def take(self, stop: int) -> list[Event]:
        """Returns the events up to a place that have not been taken."""
        part = self._table.slice(self.done, stop - self.done)
        self.done = stop
        return [event_message(row) for row in part.to_pylist()]


def event_message(row: Mapping[str, Any]) -> Event:
    """Returns an event as senders write it: null fields are left out."""
    event = Event(id=row["id"])
    for name in ("event_time", "known_at"):
        event_us = timestamp_us(row[name])
        stamp = getattr(event, name)
        stamp.seconds, micros = divmod(event_us, 1_000_000)
        stamp.nanos = micros * 1000
    for name, cell in row.items():
        if name in _META or cell is None:
            continue
        value = event.fields[name]
        if isinstance(cell, bool):
            value.bool_value = cell
        elif isinstance(cell, int):
            value.int64_value = cell
        elif isinstance(cell, float):
            value.double_value = cell
        elif isinstance(cell, datetime):
            stamp = value.timestamp_value
            stamp.seconds, micros = divmod(timestamp_us(cell), 1_000_000)
            stamp.nanos = micros * 1000
        else:
            value.string_value = cell
    return event


def _instants_us(table: pa.Table, column: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    return table[column].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
