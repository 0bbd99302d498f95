"""Parts of instants in a time zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.ingest.steps.zone_offsets import ZoneOffsets
from tailrace.runtime.columns import DType
from tailrace.runtime.steps.step_table import StepColumn, StepTable
from tailrace.runtime.timestamps import US_PER_S

Ints = NDArray[np.int64]

_US_PER_MINUTE = 60 * US_PER_S
_US_PER_HOUR = 60 * _US_PER_MINUTE
_US_PER_DAY = 24 * _US_PER_HOUR
# 1970-01-01 was a Thursday, three days after a Monday.
_WEEKDAY_OF_EPOCH = 3


class LocalClock:
    """Local time of many instants; what parts share is computed once."""

    def __init__(self, local_us: Ints) -> None:
        """Takes local time, int64 [rows], in microseconds since 1970-01-01T00:00 local."""
        self.local_us = local_us
        self._days: Ints | None = None
        self._months: Ints | None = None

    @property
    def days(self) -> Ints:
        """Days since 1970-01-01."""
        if self._days is None:
            self._days = self.local_us // _US_PER_DAY
        return self._days

    @property
    def months(self) -> Ints:
        """Months since January 1970."""
        if self._months is None:
            self._months = self.days.astype("M8[D]").astype("M8[M]").astype(np.int64)
        return self._months

    @property
    def day_of_week(self) -> Ints:
        """0 for Monday."""
        return (self.days + _WEEKDAY_OF_EPOCH) % 7

    def day_of_month(self) -> Ints:
        """From 1."""
        return self.days - self.months.astype("M8[M]").astype("M8[D]").astype(np.int64) + 1

    def day_of_year(self) -> Ints:
        """From 1."""
        return self.days - _first_days(self.months // 12) + 1

    def week(self) -> Ints:
        """ISO 8601 week, 1 to 53: a week belongs to the year of its Thursday."""
        thursdays = self.days - self.day_of_week + 3
        years = thursdays.astype("M8[D]").astype("M8[Y]").astype(np.int64)
        return (thursdays - _first_days(years)) // 7 + 1


def _first_days(years: Ints) -> Ints:
    # Days from 1970-01-01 to the first of January, `years` being years since 1970.
    return years.astype("M8[Y]").astype("M8[D]").astype(np.int64)


_PARTS: dict[str, Callable[[LocalClock], Ints | NDArray[np.bool_]]] = {
    "minute": lambda clock: clock.local_us // _US_PER_MINUTE % 60,
    "hour": lambda clock: clock.local_us // _US_PER_HOUR % 24,
    "minute_of_day": lambda clock: clock.local_us // _US_PER_MINUTE % 1440,
    "day_of_week": lambda clock: clock.day_of_week,
    "is_weekend": lambda clock: clock.day_of_week >= 5,
    "day": lambda clock: clock.day_of_month(),
    "day_of_year": lambda clock: clock.day_of_year(),
    "week": lambda clock: clock.week(),
    "month": lambda clock: clock.months % 12 + 1,
    "quarter": lambda clock: clock.months % 12 // 3 + 1,
    "year": lambda clock: clock.months // 12 + 1970,
}

# The largest value of each part, for the check that the output's type can hold it.
PART_MAXIMUM = {
    "minute": 59,
    "hour": 23,
    "minute_of_day": 1439,
    "day_of_week": 6,
    "is_weekend": 1,
    "day": 31,
    "day_of_year": 366,
    "week": 53,
    "month": 12,
    "quarter": 4,
    "year": 9999,
}


@dataclass(frozen=True, slots=True)
class TimeParts:
    """Makes one column per part of the local time. Null stays null.

    `minute hour minute_of_day day_of_week` (Monday 0) `is_weekend` count from 0; `day
    day_of_year week` (ISO 8601) `month quarter` from 1; `year` is the year.
    """

    input: str
    outputs: tuple[tuple[str, str], ...]
    dtype: DType
    offsets: ZoneOffsets | None

    def run(self, table: StepTable) -> None:
        """Puts the output columns into the table."""
        column = table.columns[self.input]
        instants = column.values
        local = instants if self.offsets is None else instants + self.offsets.offsets_us(instants)
        clock = LocalClock(local)
        for part, output in self.outputs:
            values = _PARTS[part](clock).astype(self.dtype.numpy)
            if column.valid is not None:
                values[~column.valid] = np.nan if self.dtype.is_floating else 0
            table.columns[output] = StepColumn(self.dtype, values, column.valid)
