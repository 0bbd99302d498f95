"""Tiles: what the events of one stretch of time come to, at each instant that one became known.

Every event leaves a *version* of its tile: what the tile came to once that event was known. An
instant takes of each tile the last version that it may know, so that reading a window costs its
tiles, not its events, and is exact also for events that became known late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.history.accepted import Accepted
from tailrace.features.history.engine import Engine
from tailrace.features.windows.tiles import tiles_at

_STATISTICS = {
    "count": "count({value}) {over}",
    "sum": "fsum({value}) {over}",
    # Squared deviations from the tile's own mean.
    "m2": "var_pop({value}) {over} * count({value}) {over}",
    "min": "min({value}) {over}",
    "max": "max({value}) {over}",
    "first": "arg_min({value}, place) {over}",
    "last": "arg_max({value}, place) {over}",
}
_OF_ALL = {"events": "count(*) {over}"}
_FRAME = "PARTITION BY tile ORDER BY known_at RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"

NEEDS = {
    "count": ("count",),
    "sum": ("sum",),
    "mean": ("count", "sum"),
    "stddev": ("count", "sum", "m2"),
    "min": ("min",),
    "max": ("max",),
    "first": ("first",),
    "last": ("last",),
}
"""The statistics that each function but `distinct` is made of."""


@dataclass(frozen=True, slots=True)
class TileTable:
    """The tiles of one size of a view, numbered from 0 by entity, then time.

    Attributes:
        tile_us: their size, microseconds.
        tiles: table of the columns tile, complete_at (when its last event became known), events,
            and `<statistic>_<input>`: what it came to in the end.
        versions: table of the columns tile, known_at, events, `<statistic>_<input>`: what it came
            to once the events until then were known.
        kinds: for each text input, a table of the columns tile, kind (a number), known_at (when
            it was first seen).
        statistics: names of the columns `<statistic>_<input>`.
        starts: int64 [tiles], see `_codes`.
        first_number: least tile number, counted from 1970.
        numbers: how many numbers there are from the least to the greatest.
    """

    tile_us: int
    tiles: str
    versions: str
    kinds: dict[int, str]
    statistics: tuple[str, ...]
    starts: NDArray[np.int64]
    first_number: int
    numbers: int

    def places(
        self, entity: NDArray[np.int64], number: NDArray[np.int64], side: Literal["left", "right"]
    ) -> NDArray[np.int64]:
        """Returns where tile numbers of entities stand among the tiles there are.

        Args:
            entity: int64 [n]; negative for an entity without events, whose places are all one.
            number: tile numbers, int64 [n].
            side: `left` for the place of the first tile not before that number, `right` for the
                place after the last tile not after it.
        """
        offset = np.clip(number - self.first_number, -1, self.numbers)
        codes = _codes(entity, offset, self.numbers)
        found = np.searchsorted(self.starts, codes, side)
        return found.astype(np.int64)


def tile_table(
    engine: Engine,
    accepted: Accepted,
    tile_us: int,
    statistics: set[tuple[str, int]],
    texts: set[int],
) -> TileTable:
    """Returns the tiles of one size.

    Args:
        engine: holds them.
        accepted: the events.
        tile_us: their size, microseconds.
        statistics: what they keep: pairs of a statistic and the number of an input.
        texts: numbers of the inputs whose kinds they keep.
    """
    numbers = tiles_at(accepted.event_time_us, tile_us)
    new = np.ones(len(numbers), np.bool_)
    new[1:] = (np.diff(numbers) != 0) | (np.diff(accepted.entity) != 0)
    tile_of_event = np.cumsum(new) - 1
    first = int(numbers.min()) if len(numbers) else 0
    count = int(numbers.max()) - first + 1 if len(numbers) else 1
    places = pa.table({"place": pa.array(np.arange(len(numbers))), "tile": pa.array(tile_of_event)})
    with engine.view_of(places) as name:
        events = engine.create("tiled", f"SELECT * FROM {accepted.table} JOIN {name} USING (place)")
    chosen = {
        f"{statistic}_{number}": _STATISTICS[statistic].replace("{value}", f"number_{number}")
        for statistic, number in sorted(statistics)
    }
    tiles = engine.create(
        "tiles",
        f"SELECT tile, max(known_at) AS complete_at, {_listed(chosen, '')} "
        f"FROM {events} GROUP BY tile",
    )
    versions = engine.create(
        "versions",
        f"SELECT tile, known_at, {_listed(chosen, 'OVER known')} "
        f"FROM {events} WINDOW known AS ({_FRAME})",
    )
    kinds = {text: _kinds(engine, events, text) for text in sorted(texts)}
    engine.drop(events)
    starts = _codes(accepted.entity[new], numbers[new] - first, count)
    return TileTable(tile_us, tiles, versions, kinds, tuple(chosen), starts, first, count)


def _listed(chosen: dict[str, str], over: str) -> str:
    columns = {**_OF_ALL, **chosen}
    return ", ".join(f"{sql.format(over=over)} AS {name}" for name, sql in columns.items())


def _kinds(engine: Engine, events: str, text: int) -> str:
    value = f"text_{text}"
    return engine.create(
        "kinds",
        f"SELECT tile, dense_rank() OVER (ORDER BY {value}) AS kind, known_at FROM "
        f"(SELECT tile, {value}, min(known_at) AS known_at FROM {events} "
        f"WHERE {value} IS NOT NULL GROUP BY tile, {value})",
    )


def _codes(entity: NDArray[np.int64], offset: NDArray[np.int64], numbers: int) -> NDArray[np.int64]:
    """Returns one number for entity and tile, ordered by both.

    Args:
        entity: int64 [n].
        offset: tile number after the least one, from -1 to `numbers`, int64 [n].
        numbers: how many there are.
    """
    codes: NDArray[np.int64] = entity * (numbers + 2) + offset + 1
    return codes
