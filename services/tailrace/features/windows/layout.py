"""What is stored of one entity of a windowed view: the bytes, and the names of the keys.

All keys of an entity begin alike, with what `KeyNames.windows` returns, the entity's key, and `}`:

    }         the head: a string
    }:i       ids of the events that may still be sent again: a sorted set, score = event time
    }:<l>     older tiles of level l: a string of records, sorted by tile
    }:<l>:<d>:<tile>    distinct values of distinct input d in one tile: a HyperLogLog
    }:<l>:<d>:b<block>  the same of BLOCK_TILES tiles, where windows are long (see `has_blocks`)

The head holds the newest tile of every level, so that an event which lies in it, as most do,
reads and writes one key, however many levels there are. All numbers are little-endian float64,
which holds integers up to 2^53 as they are:

    offset  bytes     content of the head
    0       1         format version: 1
    1       3         reserved: 0
    4       4         schema id, uint32
    8       8         event time of the newest event, microseconds since 1970
    16      8         ids of events before this instant have been removed
    24      8         wall clock, milliseconds, when expiry of the other keys was last put off
    32      ...       per level: how many records its string has; the tile of the first of them,
                      infinity if there are none; and the record of its newest tile

    content of a record: the tile's number, then for each input and statistic of the level
    count, sum, m2    one number, 0 at first
    min               infinity at first
    max               minus infinity at first
    first             event time (at first infinity), tie break, value
    last              event time (at first minus infinity), tie break, value

A tile without events has no record. Who finds that a level's string does not hold as many records
as the head says overwrites the head's format version with DAMAGED: nothing is read from, or
written to, such an entity until it expires or the view gets a new generation.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.features.windows.schema import Level, Statistic, WindowSchema

FORMAT_VERSION = 1
DAMAGED = 255
PREFIX_BYTES = 8
NUMBER_BYTES = 8
NEWEST, IDS_KEPT_FROM, RENEWED = range(3)
"""Numbers of the head before those of the levels."""

BLOCK_TILES = 16
_LEAST_BLOCKS = 2

WIDTHS = {statistic: 1 for statistic in Statistic} | {Statistic.FIRST: 3, Statistic.LAST: 3}
"""How many numbers each statistic takes."""

_INFINITY = float("inf")
_BLANK: dict[Statistic, tuple[float, ...]] = {
    Statistic.COUNT: (0.0,),
    Statistic.SUM: (0.0,),
    Statistic.M2: (0.0,),
    Statistic.MIN: (_INFINITY,),
    Statistic.MAX: (-_INFINITY,),
    Statistic.FIRST: (_INFINITY, 0.0, 0.0),
    Statistic.LAST: (-_INFINITY, 0.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class LevelLayout:
    """Where the numbers of one level are.

    Attributes:
        level: the level.
        records_at: number in the head that says how many records the level's string has; the
            next is the first of their tiles, and the next the newest record.
        columns: the first number of each input's statistic in a record; 0 is the tile.
        numbers: how many numbers a record has.
    """

    level: Level
    records_at: int
    columns: dict[tuple[int, Statistic], int]
    numbers: int

    @property
    def oldest_at(self) -> int:
        """Number in the head that says the tile of the first record."""
        return self.records_at + 1

    @property
    def record_at(self) -> int:
        """Number in the head at which the newest record begins."""
        return self.records_at + 2

    @property
    def record_bytes(self) -> int:
        """Length of a record."""
        return self.numbers * NUMBER_BYTES


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """Where everything is that is stored of one entity.

    Attributes:
        prefix: the first bytes of a head.
        levels: in the order of the schema.
        numbers: how many numbers the head has.
    """

    prefix: bytes
    levels: tuple[LevelLayout, ...]
    numbers: int

    @property
    def head_bytes(self) -> int:
        """Length of a head."""
        return PREFIX_BYTES + self.numbers * NUMBER_BYTES


def window_layout(schema: WindowSchema) -> WindowLayout:
    """Returns where everything is that is stored of one entity."""
    levels: list[LevelLayout] = []
    at = RENEWED + 1
    for level in schema.levels:
        columns: dict[tuple[int, Statistic], int] = {}
        numbers = 1
        for number, statistic in level.statistics:
            columns[number, statistic] = numbers
            numbers += WIDTHS[statistic]
        levels.append(LevelLayout(level, at, columns, numbers))
        at += 2 + numbers
    prefix = bytes((FORMAT_VERSION, 0, 0, 0)) + schema.schema_id.to_bytes(4, "little")
    return WindowLayout(prefix, tuple(levels), at)


def blank_numbers(statistic: Statistic) -> tuple[float, ...]:
    """Returns the numbers of a statistic of no values."""
    return _BLANK[statistic]


def has_blocks(level: Level) -> bool:
    """Returns whether distinct values are also kept of blocks of tiles, for fewer keys a read."""
    return level.window_tiles > _LEAST_BLOCKS * BLOCK_TILES


def distinct_suffixes(level: Level, first_tile: int, last_tile: int) -> list[str]:
    """Returns the ends of the names of the HyperLogLogs that make up a window.

    Args:
        level: the level.
        first_tile: of the window.
        last_tile: of the window.
    """
    if not has_blocks(level):
        return [str(tile) for tile in range(first_tile, last_tile + 1)]
    first_block = -(-first_tile // BLOCK_TILES)
    end_block = (last_tile + 1) // BLOCK_TILES
    if first_block >= end_block:
        return [str(tile) for tile in range(first_tile, last_tile + 1)]
    return [
        *[str(tile) for tile in range(first_tile, first_block * BLOCK_TILES)],
        *[f"b{block}" for block in range(first_block, end_block)],
        *[str(tile) for tile in range(end_block * BLOCK_TILES, last_tile + 1)],
    ]
