"""What a windowed feature says: what it counts, over which window, and of which events.

A window ends with the tile that holds the instant asked for, and begins with the tile that
holds the instant one window earlier; both tiles count whole, as far as their events are known.
So a window of 1 h in tiles of 5 min covers between 60 and 65 minutes. `since_midnight` begins
with the tile that holds the last midnight of a time zone.
"""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tailrace.runtime.pipeline.base import ColumnName, Misfit, SpecModel, shown
from tailrace.runtime.pipeline.duration import Duration, parse_duration

SINCE_MIDNIGHT = "since_midnight"
AggregateName = Literal["count", "sum", "mean", "min", "max", "stddev", "first", "last", "distinct"]
MIN_TILE = timedelta(seconds=1)
MIN_WINDOW = timedelta(minutes=1)
MAX_WINDOW = timedelta(days=30)
MAX_TILES = 512
"""Most tiles of one window: what a read of one entity may cost, whatever the window's length."""

MAX_TILE_SIZES = 16
"""Most sizes of tiles in one view: so many keys are read of each entity."""

_LONGEST_DAY = timedelta(hours=25)


class Condition(SpecModel):
    """A condition on one field of an event; an event without the field does not meet it."""

    field: ColumnName
    equals: str | int | float | bool | None = None
    not_equals: str | int | float | bool | None = None
    one_of: list[str | int | float | bool] | None = Field(default=None, min_length=1)
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Condition:
        if len(self.tests()) != 1:
            names = "equals, not_equals, one_of, at_least, at_most, above, below"
            raise Misfit(f"{len(self.tests())} tests", f"exactly one of {names}")
        return self

    def tests(self) -> dict[str, Any]:
        """Returns the test by its name: one entry."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name != "field" and getattr(self, name) is not None
        }


def _parse_window(value: object) -> object:
    return value if value == SINCE_MIDNIGHT else parse_duration(value)


Window = Annotated[timedelta | Literal["since_midnight"], BeforeValidator(_parse_window)]


class Aggregate(SpecModel):
    """How one windowed feature is made of events.

    Attributes:
        function: what is computed. `count` without `of` counts events, with `of` those that have
            the field. `stddev` is that of a sample, n - 1. `first` and `last` go by event time.
            `distinct` is an estimate (HyperLogLog).
        of: the event's field; every function but `count` needs one.
        window: its length, or `since_midnight`.
        timezone: of the midnight, as the IANA database names it.
        tile: size of the tiles that the window consists of; by default, the view's.
        where: an event counts where all of these hold.
    """

    function: AggregateName
    of: ColumnName | None = None
    window: Window
    timezone: str = "UTC"
    tile: Duration | None = None
    where: list[Condition] = []

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            # OSError: names are paths, and this one is of a folder, or too long.
            raise Misfit(shown(value), "an IANA time zone such as America/New_York") from error
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Aggregate:
        if self.of is None and self.function != "count":
            raise Misfit("nothing", f"the field to take the {self.function} of", at=".of")
        if self.tile is not None and self.tile < MIN_TILE:
            raise Misfit(f"{self.tile}", "a tile of at least 1s", at=".tile")
        if isinstance(self.window, timedelta) and not MIN_WINDOW <= self.window <= MAX_WINDOW:
            raise Misfit(f"{self.window}", "a window of 1m to 30d", at=".window")
        return self

    def longest(self) -> timedelta:
        """Returns the greatest length that the window can have."""
        return self.window if isinstance(self.window, timedelta) else _LONGEST_DAY
