"""The stored tiles of many entities as one table, and the numbers that windows make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.windows.layout import NEWEST, NUMBER_BYTES, PREFIX_BYTES, WindowLayout
from tailrace.features.windows.layout_group import SLOT_ORDER, Instants, LayoutGroup
from tailrace.features.windows.schema import Statistic

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

# Records are found by row and tile in one search: of what is stored of a row, tiles lie within.
_SPAN = 1 << 40
_MOST_TILE = _SPAN // 2 - 1
_MOST_US = 1 << 53


@dataclass(frozen=True, slots=True)
class StoredEntity:
    """What is stored of one entity.

    Attributes:
        head: the head's bytes.
        levels: for each level, the bytes of its older records; None where there are none.
    """

    head: bytes
    levels: Sequence[bytes | None]


class Damaged(Exception):
    """What is stored contradicts its format."""


def head_numbers(entities: Sequence[StoredEntity], layout: WindowLayout) -> Numbers:
    """Returns the numbers of the heads, float64 [entities, numbers]. Raises Damaged."""
    rows = [entity.head for entity in entities]
    if any(len(head) != layout.head_bytes or not head.startswith(layout.prefix) for head in rows):
        raise Damaged("its head is of another length, version or schema")
    table = np.frombuffer(b"".join(rows), np.float64).reshape(len(rows), -1)
    numbers = table[:, PREFIX_BYTES // NUMBER_BYTES :]
    if not (np.abs(numbers[:, NEWEST]) < _MOST_US).all():
        raise Damaged("its newest event has no sound time")
    return numbers


def slot_numbers(
    group: LayoutGroup, entities: Sequence[StoredEntity], heads: Numbers, at_us: Instants
) -> tuple[Numbers, NDArray[np.bool_]]:
    """Returns what the windows of a group make of what is stored.

    Args:
        group: levels whose records are alike.
        entities: what is stored of each row.
        heads: float64 [rows, numbers], the numbers of the heads.
        at_us: int64 [rows], the instants at which the windows end.

    Returns:
        float64 [slots, rows], numbered as `LayoutGroup.slot` does; NaN or an infinity where
        there is no value. And bool [rows], whether any tile lies in any window.

    Raises:
        Damaged: what is stored contradicts its format.
    """
    records, keys = _records(group, entities, heads)
    starts, ends = _bounds(group, keys, at_us)
    pairs = np.stack((starts, ends), axis=1).ravel()
    empty = starts == ends
    shape = (len(group.windows), len(entities))
    parts: dict[Statistic, Numbers] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.add.reduceat(records, pairs, axis=0)[::2]
    sums[empty] = 0.0
    for statistic in (Statistic.COUNT, Statistic.SUM, Statistic.M2):
        parts[statistic] = sums[:, group.columns[statistic]]
    if len(group.columns[Statistic.M2]):
        with np.errstate(over="ignore", invalid="ignore"):
            parts[Statistic.M2] += _between_tiles(group, records, sums, starts, ends)
    for statistic, extreme, of_nothing in (
        (Statistic.MIN, np.minimum, np.inf),
        (Statistic.MAX, np.maximum, -np.inf),
    ):
        columns = group.columns[statistic]
        if len(columns):
            found = extreme.reduceat(records[:, columns], pairs, axis=0)[::2]
            found[empty] = of_nothing
            parts[statistic] = found
    for statistic in (Statistic.FIRST, Statistic.LAST):
        columns = group.columns[statistic]
        if len(columns):
            parts[statistic] = _end_values(statistic, records, columns, pairs, empty)
    slots = [
        parts[statistic].reshape(*shape, -1).swapaxes(1, 2).reshape(-1, shape[1])
        for statistic in SLOT_ORDER
        if len(group.columns[statistic])
    ]
    numbers = np.concatenate(slots) if slots else np.empty((0, shape[1]))
    present: NDArray[np.bool_] = ~empty.reshape(shape).all(axis=0)
    return numbers, present


def _records(
    group: LayoutGroup, entities: Sequence[StoredEntity], heads: Numbers
) -> tuple[Numbers, NDArray[np.int64]]:
    """Returns the records of all levels and rows, one more at the end, and where they belong.

    Those of one level and row lie together, by tile; `keys` grow from each to the next.
    """
    pieces: list[bytes] = []
    expected: list[Numbers] = []
    for number, level in zip(group.level_numbers, group.levels, strict=True):
        start = PREFIX_BYTES + level.record_at * NUMBER_BYTES
        end = start + level.record_bytes
        for entity in entities:
            pieces += (entity.levels[number] or b"", entity.head[start:end])
        expected.append(heads[:, level.records_at])
    size = group.levels[0].record_bytes
    lengths = np.array([len(piece) for piece in pieces[::2]])
    counts = np.concatenate(expected)
    if (lengths != counts * size).any():
        raise Damaged("its tiles are not as many as its head says")
    pieces.append(bytes(size))
    records = np.frombuffer(b"".join(pieces), np.float64).reshape(-1, size // NUMBER_BYTES)
    tiles = records[:-1, 0]
    if not (np.abs(tiles) <= _MOST_TILE).all():
        raise Damaged("its tiles have no sound numbers")
    keys: NDArray[np.int64] = tiles.astype(np.int64)
    keys += np.repeat(np.arange(len(counts)) * _SPAN, counts.astype(np.int64) + 1)
    if (keys[1:] <= keys[:-1]).any():
        raise Damaged("its tiles are not in order")
    return records, keys


def _bounds(group: LayoutGroup, keys: NDArray[np.int64], at_us: Instants) -> tuple[Places, Places]:
    """Returns where the records of each window and row begin and end, [windows * rows]."""
    edges = [window.edges(at_us) for window in group.windows]
    segment = group.level_of_window[:, np.newaxis] * len(at_us) + np.arange(len(at_us))
    base = segment * _SPAN
    # No tile lies beyond these, and edges that do would be looked for in other rows.
    first, last = np.minimum(np.maximum(np.array(edges), -_MOST_TILE), _MOST_TILE).swapaxes(0, 1)
    starts = np.searchsorted(keys, (base + first).ravel(), "left")
    return starts, np.searchsorted(keys, (base + last).ravel(), "right")


def _between_tiles(
    group: LayoutGroup, records: Numbers, sums: Numbers, starts: Places, ends: Places
) -> Numbers:
    """Returns how far the means of tiles lie from that of their window: sum of n_i (m_i - m)^2.

    With the m2 of the tiles, it makes that of the window. Source: Chan, Golub, LeVeque (1979).
    """
    count, total, _ = group.spreads
    lengths = ends - starts
    begins = np.cumsum(lengths) - lengths
    window = np.repeat(np.arange(len(starts)), lengths)
    places = np.arange(len(window)) + np.repeat(starts - begins, lengths)
    counts = records[:, count][places]
    # What is too large to be squared is infinite then, and no value.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        means = sums[:, total] / sums[:, count]
        deviations = records[:, total][places] / counts - means[window]
        squares = np.where(counts > 0, counts * deviations**2, 0.0)
        padded = np.concatenate((squares, np.zeros((1, squares.shape[1]))))
        between = np.add.reduceat(padded, begins, axis=0)
    between[lengths == 0] = 0.0
    return between


def _end_values(
    statistic: Statistic,
    records: Numbers,
    columns: Places,
    pairs: Places,
    empty: NDArray[np.bool_],
) -> Numbers:
    """Returns the first or last value of each window, [windows * rows, columns]; NaN for none.

    Tiles follow each other in time, so it is that of the first or last tile that has one.
    """
    count = len(records)
    numbers = np.arange(count)[:, np.newaxis]
    has_value = np.isfinite(records[:, columns])
    if statistic is Statistic.FIRST:
        places = np.minimum.reduceat(np.where(has_value, numbers, count), pairs, axis=0)[::2]
    else:
        places = np.maximum.reduceat(np.where(has_value, numbers, -1), pairs, axis=0)[::2]
    nothing = (places < 0) | (places >= count) | empty[:, np.newaxis]
    found: Numbers = records[np.where(nothing, 0, places), columns + 2]
    found[nothing] = np.nan
    return found
