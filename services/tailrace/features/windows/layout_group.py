"""Levels whose records are alike, and what windows make of them, worked out once per view.

The records of all these levels, of all rows, are one table; see `record_table`. A *slot* is one
number per row that windows make of them: a count, a sum, a minimum and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.windows.layout import LevelLayout, WindowLayout
from tailrace.features.windows.schema import Statistic, WindowFeature, WindowSchema
from tailrace.features.windows.tiles import first_tiles, tiles_at
from tailrace.runtime.pipeline.aggregate import Aggregate

Columns = NDArray[np.intp]
Instants = NDArray[np.int64]

SLOT_ORDER = (
    Statistic.COUNT,
    Statistic.SUM,
    Statistic.M2,
    Statistic.MIN,
    Statistic.MAX,
    Statistic.FIRST,
    Statistic.LAST,
)


@dataclass(frozen=True, slots=True)
class Window:
    """A window over the tiles of one level.

    Attributes:
        level: number of the level.
        tile_us: size of its tiles, microseconds.
        aggregate: one that says which window it is.
    """

    level: int
    tile_us: int
    aggregate: Aggregate

    def edges(self, at_us: Instants) -> tuple[Instants, Instants]:
        """Returns the first and the last tile of the window that ends at each instant."""
        first = first_tiles(self.aggregate, self.tile_us, at_us)
        return first, tiles_at(at_us, self.tile_us)


@dataclass(frozen=True, slots=True)
class LayoutGroup:
    """Levels whose records are alike.

    Attributes:
        levels: their layouts.
        level_numbers: their numbers.
        windows: over tiles of these levels.
        window_numbers: their numbers, by what tells the windows of a view apart.
        level_of_window: for each window, the place of its level in `levels`.
        columns: by statistic, the columns of the records that hold it, in the order of inputs.
        inputs: by statistic, the inputs that these columns are of.
        spreads: the columns of count, sum and m2 of each input that has all three.
    """

    levels: tuple[LevelLayout, ...]
    level_numbers: tuple[int, ...]
    windows: tuple[Window, ...]
    window_numbers: dict[tuple[object, ...], int]
    level_of_window: Columns
    columns: dict[Statistic, Columns]
    inputs: dict[Statistic, tuple[int, ...]]
    spreads: tuple[Columns, Columns, Columns]

    @property
    def slots(self) -> int:
        """Number of slots: windows times columns."""
        return len(self.windows) * sum(len(columns) for columns in self.columns.values())

    def slot(self, feature: WindowFeature, statistic: Statistic) -> int:
        """Returns the number of a slot: by statistic, then window, then input."""
        window = self.window_numbers[_window_key(feature)]
        before = 0
        for each in SLOT_ORDER:
            if each is statistic:
                break
            before += len(self.windows) * len(self.columns[each])
        inputs = self.inputs[statistic]
        return before + window * len(inputs) + inputs.index(feature.input)


def layout_groups(schema: WindowSchema, layout: WindowLayout) -> list[LayoutGroup]:
    """Returns the levels of a view, those whose records are alike together."""
    numbers_by_statistics: dict[object, list[int]] = {}
    for number, level in enumerate(schema.levels):
        numbers_by_statistics.setdefault(level.statistics, []).append(number)
    return [_group(schema, layout, numbers) for numbers in numbers_by_statistics.values()]


def _group(schema: WindowSchema, layout: WindowLayout, numbers: Sequence[int]) -> LayoutGroup:
    windows = {
        _window_key(feature): Window(
            feature.level, schema.levels[feature.level].tile_us, feature.aggregate
        )
        for feature in schema.features
        if feature.level in numbers
    }
    level = layout.levels[numbers[0]]
    columns: dict[Statistic, Columns] = {}
    inputs: dict[Statistic, tuple[int, ...]] = {}
    for statistic in SLOT_ORDER:
        of = [(number, at) for (number, each), at in level.columns.items() if each is statistic]
        inputs[statistic] = tuple(number for number, _ in of)
        columns[statistic] = _columns(at for _, at in of)
    with_spread = inputs[Statistic.M2]
    count, total, m2 = (
        _columns(level.columns[number, statistic] for number in with_spread)
        for statistic in (Statistic.COUNT, Statistic.SUM, Statistic.M2)
    )
    return LayoutGroup(
        levels=tuple(layout.levels[number] for number in numbers),
        level_numbers=tuple(numbers),
        windows=tuple(windows.values()),
        window_numbers={key: number for number, key in enumerate(windows)},
        level_of_window=_columns(numbers.index(window.level) for window in windows.values()),
        columns=columns,
        inputs=inputs,
        spreads=(count, total, m2),
    )


def _columns(places: Iterable[int]) -> Columns:
    return np.fromiter(places, np.intp)


def _window_key(feature: WindowFeature) -> tuple[object, ...]:
    aggregate = feature.aggregate
    return feature.level, aggregate.window, aggregate.timezone
