"""Tiles and the edges of windows: the one definition, for serving and for training alike.

Time is cut into tiles of one size, counted from 1970-01-01T00:00:00Z: an instant t lies in tile
floor(t / tile). A window that ends at t consists of whole tiles: the last is the one that holds t,
the first the one that holds t - window, or the last midnight before t. Events count where their
event time lies in one of these tiles, also after t, if they are known at t.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.pipeline.aggregate import Aggregate

Instants = NDArray[np.int64]

_US = timedelta(microseconds=1)
_HOUR_US = 3_600_000_000
# Beyond these, some time zone has no local date: the years 1 to 9999 less two days.
_LEAST_LOCAL_US = -62_135_596_800_000_000 + 48 * _HOUR_US
_MOST_LOCAL_US = 253_402_300_800_000_000 - 48 * _HOUR_US


def tiles_at(instants_us: Instants, tile_us: int) -> Instants:
    """Returns the number of the tile that holds each instant, int64.

    Args:
        instants_us: microseconds since 1970, any shape.
        tile_us: size of the tiles, microseconds.
    """
    tiles: Instants = instants_us // tile_us
    return tiles


def first_tiles(aggregate: Aggregate, tile_us: int, instants_us: Instants) -> Instants:
    """Returns the number of the first tile of the window that ends at each instant, int64.

    The last is `tiles_at(instants_us, tile_us)`.

    Args:
        aggregate: says which window.
        tile_us: size of the tiles, microseconds.
        instants_us: microseconds since 1970, shape [n].
    """
    if isinstance(aggregate.window, timedelta):
        return tiles_at(instants_us - aggregate.window // _US, tile_us)
    return tiles_at(midnights(aggregate.timezone, instants_us), tile_us)


def earliest_instants(aggregate: Aggregate, tile_us: int, first: Instants) -> Instants:
    """Returns the earliest instants whose windows do not begin before given tiles, int64.

    Args:
        aggregate: says which window.
        tile_us: size of the tiles, microseconds.
        first: numbers of tiles, shape [n].

    Returns:
        Microseconds since 1970.
    """
    starts: Instants = first * tile_us
    if isinstance(aggregate.window, timedelta):
        return starts + aggregate.window // _US
    before = midnights(aggregate.timezone, starts)
    # Days are 23 to 25 h long.
    after = midnights(aggregate.timezone, before + 26 * _HOUR_US)
    return np.where(before == starts, starts, after)


def midnights(timezone: str, instants_us: Instants) -> Instants:
    """Returns the last midnight of a time zone at or before each instant, int64 microseconds.

    On a day that has no 00:00, as its clocks skip it, that is the instant of the change; on one
    that has two, the first.

    Args:
        timezone: as the IANA database names it.
        instants_us: microseconds since 1970, shape [n].
    """
    zone = zoneinfo.ZoneInfo(timezone)
    if timezone == "UTC":
        day_us = 24 * _HOUR_US
        utc: Instants = instants_us // day_us * day_us
        return utc
    found = np.empty(len(instants_us), np.int64)
    # Instants of one hour nearly always share their midnight.
    hours, places = np.unique(instants_us // (_HOUR_US // 4), return_inverse=True)
    of_hours = [_midnight_us(zone, int(hour) * (_HOUR_US // 4)) for hour in hours.tolist()]
    found[:] = np.array(of_hours, np.int64)[places]
    return found


def _midnight_us(zone: zoneinfo.ZoneInfo, instant_us: int) -> int:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    within = min(max(instant_us, _LEAST_LOCAL_US), _MOST_LOCAL_US)
    local = (epoch + timedelta(microseconds=within)).astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)
    # A skipped 00:00 counts with the offset before the change, which is the change itself.
    return (midnight - epoch) // _US
