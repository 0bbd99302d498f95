"""The values of a windowed view at given instants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.history.accepted import Accepted
from tailrace.features.history.engine import Engine
from tailrace.features.history.inputs import Inputs, window_text
from tailrace.features.history.tile_table import NEEDS, TileTable, tile_table
from tailrace.features.windows.tiles import first_tiles, tiles_at
from tailrace.runtime.pipeline.aggregate import Aggregate
from tailrace.runtime.pipeline.feature_view import FeatureView

MAX_TILES_AT_ONCE = 4_000_000
"""Tiles of windows that one query reads: what bounds its memory."""

_US = timedelta(microseconds=1)
Integers = NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class WindowValues:
    """What was computed.

    Attributes:
        values: float64 [features, instants]; of no meaning where there is none.
        present: bool [features, instants]: whether there is a value.
        events: int64 [instants], how many events are known in any window of the view.
    """

    values: NDArray[np.float64]
    present: NDArray[np.bool_]
    events: Integers


@dataclass(frozen=True, slots=True)
class _Member:
    """One feature of a level: its place in the view, aggregate, window and input."""

    place: int
    aggregate: Aggregate
    window: int
    input: int


@dataclass(frozen=True, slots=True)
class _Spans:
    """The tiles of each instant's windows, as places among the tiles there are.

    Attributes:
        lows: int64 [windows, instants], where each window begins.
        low: int64 [instants], where the longest begins.
        high: int64 [instants], after the last.
    """

    lows: Integers
    low: Integers
    high: Integers


def window_values(
    engine: Engine,
    view: FeatureView,
    accepted: Accepted,
    inputs: Inputs,
    entity: Integers,
    at_us: Integers,
    on_progress: Progress = lambda done, total: None,
) -> WindowValues:
    """Returns the features of a windowed view.

    Args:
        engine: holds the events.
        view: the view.
        accepted: its events.
        inputs: of the view.
        entity: int64 [instants], number of the entity; -1 for one without events.
        at_us: int64 [instants], microseconds since 1970.
        on_progress: called with the instants done, of each tile size, and their total.
    """
    shape = (len(view.features), len(at_us))
    found = WindowValues(
        np.zeros(shape),
        np.zeros(shape, np.bool_),
        np.zeros(len(at_us), np.int64),
    )
    sizes = sorted({view.tile_of(feature) for feature in view.features})
    for number, size in enumerate(sizes):
        chosen = [p for p, f in enumerate(view.features) if view.tile_of(f) == size]
        members, windows = _members(view, inputs, chosen)
        tiles = tile_table(engine, accepted, size // _US, *_wanted(members))
        spans = _spans(tiles, windows, entity, at_us)
        for part in _parts(spans):
            _fill(engine, tiles, members, spans, part, at_us, found)
            on_progress(number * len(at_us) + part.stop, len(sizes) * len(at_us))
        engine.drop(tiles.tiles, tiles.versions, *tiles.kinds.values())
    return found


def _members(
    view: FeatureView, inputs: Inputs, chosen: Sequence[int]
) -> tuple[list[_Member], list[Aggregate]]:
    """Returns the features of one tile size, and an aggregate for each of their windows."""
    windows: dict[str, tuple[int, Aggregate]] = {}
    members = []
    for place in chosen:
        aggregate = view.features[place].aggregate
        assert aggregate is not None, "the view is windowed"
        known = windows.setdefault(window_text(aggregate), (len(windows), aggregate))
        members.append(_Member(place, aggregate, known[0], inputs.of_feature[place]))
    return members, [aggregate for _, aggregate in windows.values()]


def _wanted(members: Sequence[_Member]) -> tuple[set[tuple[str, int]], set[int]]:
    statistics = {
        (statistic, member.input)
        for member in members
        for statistic in NEEDS.get(member.aggregate.function, ())
    }
    return statistics, {m.input for m in members if m.aggregate.function == "distinct"}


def _spans(
    tiles: TileTable, windows: Sequence[Aggregate], entity: Integers, at_us: Integers
) -> _Spans:
    lows = np.stack(
        [
            tiles.places(entity, first_tiles(window, tiles.tile_us, at_us), "left")
            for window in windows
        ]
    )
    high = tiles.places(entity, tiles_at(at_us, tiles.tile_us), "right")
    return _Spans(lows, lows.min(axis=0), high)


def _parts(spans: _Spans) -> Iterator[slice]:
    """Yields runs of instants whose windows together have no more tiles than the limit."""
    until = np.cumsum(spans.high - spans.low)
    start, done = 0, 0
    while start < len(until):
        stop = int(np.searchsorted(until, done + MAX_TILES_AT_ONCE, "right"))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start, done = stop, int(until[stop - 1])


def _fill(
    engine: Engine,
    tiles: TileTable,
    members: Sequence[_Member],
    spans: _Spans,
    part: slice,
    at_us: Integers,
    found: WindowValues,
) -> None:
    rows = np.flatnonzero(spans.high[part] > spans.low[part]) + part.start
    if not len(rows):
        return
    columns = {
        "instant": rows,
        "at_us": at_us[rows],
        "low": spans.low[rows],
        "high": spans.high[rows],
    }
    columns |= {f"low_{place}": low[rows] for place, low in enumerate(spans.lows)}
    lows = "".join(f", low_{place}" for place in range(len(spans.lows)))
    with engine.view_of(pa.table(columns)) as name:
        wanted = f"(SELECT instant, at_us{lows}, unnest(range(low, high)) AS tile FROM {name})"
        parts = _parts_sql(tiles, wanted, lows)
        if any(member.aggregate.function == "stddev" for member in members):
            kept = engine.create("parts", parts)
            _take(engine.table(_summary(kept, members)), members, found)
            _take(engine.table(_deviations(kept, members)), members, found)
            engine.drop(kept)
        else:
            _take(engine.table(_summary(f"({parts})", members)), members, found)
        for text, kinds in tiles.kinds.items():
            distinct = [m for m in members if (m.aggregate.function, m.input) == ("distinct", text)]
            _take(engine.table(_distinct(wanted, kinds, distinct)), distinct, found)


def _parts_sql(tiles: TileTable, wanted: str, lows: str) -> str:
    """Returns the query of each instant's tiles, as far as they were known at it."""
    kept = ", ".join(["events", *tiles.statistics])
    return f"""
        WITH hit AS (SELECT * FROM {wanted} JOIN {tiles.tiles} USING (tile))
        SELECT instant, tile{lows}, {kept} FROM hit WHERE complete_at <= at_us
        UNION ALL
        SELECT instant, early.tile{lows}, {kept}
        FROM (SELECT instant, at_us, tile{lows} FROM hit WHERE complete_at > at_us) AS early
        ASOF JOIN {tiles.versions} AS version
            ON early.tile = version.tile AND version.known_at <= early.at_us
        """


def _summary(parts: str, members: Sequence[_Member]) -> str:
    columns = ["instant", "sum(events) AS events"]
    for member in members:
        sql = _summary_sql(member)
        if sql is not None:
            columns.append(f"CAST({sql} AS DOUBLE) AS value_{member.place}")
    return f"SELECT {', '.join(columns)} FROM {parts} GROUP BY instant"


def _summary_sql(member: _Member) -> str | None:
    within = f"FILTER (tile >= low_{member.window})"
    number = member.input
    match member.aggregate.function:
        case "count":
            return f"coalesce(sum(count_{number}) {within}, 0)"
        case "sum":
            return f"coalesce(fsum(sum_{number}) {within}, 0)"
        case "mean":
            counted = f"nullif(sum(count_{number}) {within}, 0)"
            return f"fsum(sum_{number}) {within} / {counted}"
        case "min" | "max" as name:
            return f"{name}({name}_{number}) {within}"
        case "first":
            return f"arg_min(first_{number}, tile) {within}"
        case "last":
            return f"arg_max(last_{number}, tile) {within}"
        case "stddev" | "distinct":
            return None


def _deviations(parts: str, members: Sequence[_Member]) -> str:
    """Returns the query of standard deviations: deviations from the whole window's mean.

    With n events and mean m in all, and n_i, m_i and M2_i in tile i:
    M2 = sum(M2_i + n_i (m_i - m)^2), as in Chan, Golub and LeVeque (1979).
    """
    chosen = [member for member in members if member.aggregate.function == "stddev"]
    means, deviations = [], []
    for member in chosen:
        number, place = member.input, member.place
        within = f"FILTER (tile >= low_{member.window} AND count_{number} > 0)"
        means.append(f"sum(count_{number}) {within} AS count_all_{place}")
        means.append(
            f"fsum(sum_{number}) {within} / sum(count_{number}) {within} AS mean_all_{place}"
        )
        off = f"(sum_{number} / count_{number} - mean_all_{place})"
        total = f"fsum(m2_{number} + count_{number} * {off} * {off}) {within}"
        degrees = f"any_value(count_all_{place}) - 1"
        deviations.append(
            f"CASE WHEN {degrees} > 0 THEN sqrt({total} / ({degrees})) END AS value_{place}"
        )
    of_windows = f"(SELECT instant, {', '.join(means)} FROM {parts} GROUP BY instant)"
    return (
        f"SELECT instant, {', '.join(deviations)} "
        f"FROM {parts} JOIN {of_windows} USING (instant) GROUP BY instant"
    )


def _distinct(wanted: str, kinds: str, members: Sequence[_Member]) -> str:
    columns = [
        f"CAST(count(DISTINCT kind) FILTER (tile >= low_{member.window}) AS DOUBLE) "
        f"AS value_{member.place}"
        for member in members
    ]
    return (
        f"SELECT instant, {', '.join(columns)} FROM {wanted} AS wanted JOIN {kinds} AS kinds "
        "USING (tile) WHERE kinds.known_at <= wanted.at_us GROUP BY instant"
    )


def _take(table: pa.Table, members: Sequence[_Member], found: WindowValues) -> None:
    """Puts the columns of a result where they belong."""
    rows = table["instant"].to_numpy()
    for member in members:
        name = f"value_{member.place}"
        if name in table.column_names:
            # Null is NaN in numpy.
            values = table[name].to_numpy()
            present = table[name].is_valid().to_numpy()
            found.values[member.place, rows] = np.where(present, values, 0.0)
            found.present[member.place, rows] = present
    if "events" in table.column_names:
        # Tile sizes of one view may see different stretches of time.
        events = table["events"].cast(pa.int64()).to_numpy()
        found.events[rows] = np.maximum(found.events[rows], events)
