"""Offsets from UTC of a time zone, for many instants at once."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.timestamps import (
    MAX_TIMESTAMP_US,
    MIN_TIMESTAMP_US,
    US_PER_S,
    instant_of,
    timestamp_us,
)

FIRST_YEAR = 1970
LAST_YEAR = 2100
# Less than the shortest stay of any zone with one offset since 1970, which is 6.9 days.
STEP_S = 2 * 86_400
_BEYOND_US = 100 * 86_400 * US_PER_S
_MARGIN_US = 2 * 86_400 * US_PER_S


class ZoneOffsets:
    """The offsets of one zone: a table of its changes from 1970 to 2100, the zone beyond."""

    def __init__(self, zone: ZoneInfo) -> None:
        """Finds the changes; takes some tens of milliseconds."""
        self._zone = zone
        self._first_us = timestamp_us(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
        self._end_us = timestamp_us(datetime(LAST_YEAR, 1, 1, tzinfo=UTC))
        changes_s, offsets_s = self._changes(self._first_us // US_PER_S, self._end_us // US_PER_S)
        # The ends of the table count as changes, too: to an offset that no zone has.
        self._changes_us = np.array(
            [self._first_us, *(each * US_PER_S for each in changes_s), self._end_us], np.int64
        )
        self._offsets_us = np.array(
            [_BEYOND_US, *(each * US_PER_S for each in offsets_s), _BEYOND_US], np.int64
        )

    def offsets_us(self, instants_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns local time minus UTC, int64 [rows] in microseconds.

        Args:
            instants_us: int64 [rows], microseconds since 1970, in the years 1 to 9999.
        """
        offsets: NDArray[np.int64] = self._offsets_us[
            self._changes_us.searchsorted(instants_us, side="right")
        ]
        if len(offsets) and offsets.max() == _BEYOND_US:
            self._find_beyond(instants_us, offsets)
        return offsets

    def _find_beyond(self, instants_us: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        for row in np.flatnonzero(offsets == _BEYOND_US).tolist():
            # Local time at the very ends would lie outside what datetime holds; no zone has a
            # change there.
            inside = min(
                max(int(instants_us[row]), MIN_TIMESTAMP_US + _MARGIN_US),
                MAX_TIMESTAMP_US - _MARGIN_US,
            )
            offset = instant_of(inside).astimezone(self._zone).utcoffset()
            assert offset is not None
            offsets[row] = offset // timedelta(microseconds=1)

    def _changes(self, first_s: int, end_s: int) -> tuple[list[int], list[int]]:
        changes: list[int] = []
        offsets = [self._offset_s(first_s)]
        for sample_s in range(first_s + STEP_S, end_s + STEP_S, STEP_S):
            if self._offset_s(sample_s) != offsets[-1]:
                changes.append(self._first_other(sample_s - STEP_S, sample_s, offsets[-1]))
                offsets.append(self._offset_s(sample_s))
        return changes, offsets

    def _first_other(self, before_s: int, after_s: int, offset_s: int) -> int:
        while after_s - before_s > 1:
            middle_s = (before_s + after_s) // 2
            if self._offset_s(middle_s) == offset_s:
                before_s = middle_s
            else:
                after_s = middle_s
        return after_s

    def _offset_s(self, instant_s: int) -> int:
        offset = datetime.fromtimestamp(instant_s, self._zone).utcoffset()
        assert offset is not None
        return offset // timedelta(seconds=1)


@functools.cache
def zone_offsets(key: str) -> ZoneOffsets:
    """Returns the offsets of a zone such as `America/New_York`, found once per process."""
    return ZoneOffsets(ZoneInfo(key))
