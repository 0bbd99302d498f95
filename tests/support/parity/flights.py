"""Real flights: the events and the views of the example, and the instants that it predicts at."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import yaml

from preparation.events import arrival_events, departure_events
from preparation.flights import arrived_flights
from preparation.nycflights import read_table
from tailrace.features.history.engine import EngineOptions
from tailrace.features.history.training_set import EventFile, TrainingSet, ViewAt, training_set
from tailrace.runtime.pipeline.directory import load_views
from tests.support.parity.compare import Comparison, compare
from tests.support.parity.online_engine import online_engine, write_files
from tests.support.parity.replay import Replayed, replay

EXAMPLE = Path(__file__).parents[3] / "examples" / "flights"
# What the windows before the first instant have to hold.
_BEFORE = pd.Timedelta(days=2)


@dataclass(frozen=True, slots=True)
class FlightWorld:
    """Flights of some days.

    Attributes:
        pipelines: folder of the pipeline that looks all windowed views up.
        events: by event type.
        instants: scheduled departures of flights that arrived, with their keys.
    """

    pipelines: Path
    events: dict[str, pa.Table]
    instants: pa.Table


def flight_world(folder: Path, first: datetime | None = None, days: int = 0) -> FlightWorld:
    """Returns flights of some days, or of the whole year.

    Args:
        folder: where files are written.
        first: midnight of the first day, UTC; None for the year.
        days: how many.
    """
    events, asked = _year()
    if first is not None:
        start = pd.Timestamp(first)
        end = start + pd.Timedelta(days=days)
        asked = asked[(asked["at"] >= start) & (asked["at"] < end)]
        events = {
            name: each[(each["known_at"] >= start - _BEFORE) & (each["known_at"] < end)]
            for name, each in events.items()
        }
    contents = [_yaml(file) for file in sorted((EXAMPLE / "features").glob("*.yaml"))]
    views = [view for view in contents if (view.get("source") or {}).get("type") == "events"]
    types = [_yaml(file) for file in sorted((EXAMPLE / "events").glob("*.yaml"))]
    pipelines = write_files(folder, types, views)
    instants = asked[["at", "carrier", "tailnum", "origin", "dest"]]
    return FlightWorld(
        pipelines,
        {name: pa.Table.from_pandas(each, preserve_index=False) for name, each in events.items()},
        pa.Table.from_pandas(instants, preserve_index=False),
    )


@functools.cache
def _year() -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Returns all events, by type, and all instants."""
    flights, airports = read_table("flights"), read_table("airports")
    events = {"departure": departure_events(flights), "arrival": arrival_events(flights, airports)}
    asked = arrived_flights(flights, airports)
    return events, asked.assign(at=asked["scheduled_departure"])


def trained(world: FlightWorld, options: EngineOptions) -> TrainingSet:
    """Returns what training computes."""
    files = load_views(world.pipelines.parent / "features")
    views = [
        ViewAt(view, EventFile(files.events[view.events.event], world.events[view.events.event]))
        for view in files.views.values()
    ]
    return training_set(views, world.instants, options=options)


async def served(
    world: FlightWorld,
    redis_url: str,
    prefix: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replayed:
    """Returns what serving answers, replayed into an empty store."""
    async with online_engine(world.pipelines, redis_url, prefix) as engine:
        return await replay(engine, world.events, world.instants, on_progress)


def compared(world: FlightWorld, online: Replayed, offline: TrainingSet) -> Comparison:
    """Returns how the two differ."""
    views = load_views(world.pipelines.parent / "features").views.values()
    return compare(views, online.columns, offline.table)


def utc(year: int, month: int, day: int) -> datetime:
    """Returns a midnight."""
    return datetime(year, month, day, tzinfo=UTC)


def _yaml(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content
