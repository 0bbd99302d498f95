"""Training sets against a model that looks at every event for every instant, and shares no code."""

from __future__ import annotations

import functools
import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tests.support.history_tables import RIDE, UTC_US, computed, windowed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LATENESS = 20 * MINUTE
FUTURE = int(RIDE.max_future / timedelta(microseconds=1))

FUNCTIONS = ("count", "sum", "mean", "min", "max", "stddev", "first", "last", "distinct")
WINDOWS: tuple[dict[str, str], ...] = (
    {"window": "30m"},
    {"window": "3h"},
    {"window": "1d", "tile": "1h"},
    {"window": "since_midnight", "timezone": "America/Havana"},
    {"window": "since_midnight", "timezone": "Asia/Beirut", "tile": "15m"},
)
# At some of these, midnight comes twice (Havana, November) or not at all (Beirut, March), and
# one lies before 1970.
PLACES = ("2023-11-05T05:00", "2023-03-25T22:00", "2024-02-29T00:00", "1969-12-31T23:00")


@dataclass(frozen=True)
class Ride:
    id: str
    time: int
    known: int
    city: str | None
    fare: float | None
    riders: int | None


def us(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def random_rides(chance: random.Random, begin: int, count: int) -> list[Ride]:
    found: list[Ride] = []
    for number in range(count):
        # Many at the very edges of tiles, and many at one instant.
        time = begin + chance.randrange(0, 30 * HOUR, 5 * MINUTE)
        time += chance.choice([0, 0, -1, 1, chance.randrange(5 * MINUTE)])
        known = time + chance.choice([0, 0, 0, 1, 7 * MINUTE, 2 * HOUR, 40 * HOUR, -FUTURE])
        fare = chance.choice([None, 0.0, -1.5, 1e6, chance.uniform(-50, 50)])
        riders = chance.choice([None, 0, -3, 2**53, chance.randrange(6)])
        city = chance.choice(["a", "a", "b", "|", None])
        ride = Ride(f"r{number}", time, known, city, fare, riders)
        if found and chance.random() < 0.2:
            # An id that was there, perhaps of another time, and told with other values.
            other = chance.choice(found)
            time = chance.choice([other.time, other.time, time])
            known = max(other.known + chance.choice([0, MINUTE, DAY]), time - FUTURE)
            ride = Ride(other.id, time, known, other.city, fare, riders)
        found.append(ride)
    chance.shuffle(found)
    return found


def taken(rides: Sequence[Ride]) -> list[Ride]:
    """Returns the rides that count, in the order in which they became known."""
    found: list[Ride] = []
    for ride in sorted(rides, key=lambda each: (each.known, each.id)):
        if ride.city is None:
            continue
        before = [each for each in found if each.city == ride.city]
        oldest = max((each.time for each in before), default=ride.time) - LATENESS
        again = any(each.id == ride.id and each.time >= oldest for each in before)
        if ride.time >= oldest and not again:
            found.append(ride)
    return found


def begin_of(window: dict[str, str], at: int) -> int:
    """Returns when a window begins, before the tile that holds it is taken whole."""
    lengths = {"30m": 30 * MINUTE, "3h": 3 * HOUR, "1d": DAY}
    if window["window"] in lengths:
        return at - lengths[window["window"]]
    return midnight(window["timezone"], at // MINUTE * MINUTE)


@functools.cache
def midnight(timezone: str, minute: int) -> int:
    """Returns the first minute of the day, looked for minute by minute."""
    zone = ZoneInfo(timezone)
    today = (EPOCH + timedelta(microseconds=minute)).astimezone(zone).date()
    begin = minute
    for back in range(1, 26 * 60):
        earlier = minute - back * MINUTE
        if (EPOCH + timedelta(microseconds=earlier)).astimezone(zone).date() == today:
            begin = earlier
    return begin


def answer(function: str, rides: Sequence[Ride]) -> float | None:
    if function == "count":
        return len(rides)
    if function == "distinct":
        return len({ride.riders for ride in rides if ride.riders is not None})
    rides = [ride for ride in rides if ride.fare is not None]
    fares = [float(ride.fare or 0.0) for ride in rides]
    if function == "sum":
        return math.fsum(fares)
    if not fares or (function == "stddev" and len(fares) < 2):
        return None
    mean = math.fsum(fares) / len(fares)
    if function in ("first", "last"):
        key = [(ride.time, hashlib.md5(ride.id.encode()).hexdigest()[:12]) for ride in rides]
        chosen = max(key) if function == "last" else min(key)
        return fares[key.index(chosen)]
    squares = math.fsum((fare - mean) ** 2 for fare in fares)
    found: dict[str, float] = {
        "mean": mean,
        "min": min(fares),
        "max": max(fares),
        "stddev": math.sqrt(squares / max(len(fares) - 1, 1)),
    }
    return found[function]


def expected(window: dict[str, str], function: str, rides: Sequence[Ride], at: int) -> float | None:
    size = {"1h": HOUR, "15m": 15 * MINUTE}.get(window.get("tile", ""), 5 * MINUTE)
    first, last = begin_of(window, at) // size, at // size
    return answer(function, [each for each in rides if first <= each.time // size <= last])


@pytest.mark.parametrize("seed", range(8))
def test_training_sets_are_what_a_look_at_every_event_finds(seed: int) -> None:
    chance = random.Random(seed)
    begin = us(datetime.fromisoformat(f"{PLACES[seed % len(PLACES)]}+00:00"))
    rides = random_rides(chance, begin, 160)
    aggregates = [
        {"function": function, "default": -7.25, **window}
        | ({} if function == "count" else {"of": "riders" if function == "distinct" else "fare"})
        for window in WINDOWS
        for function in FUNCTIONS
    ]
    view = windowed(*aggregates, source={"lateness": "20m"})
    asked: list[tuple[str | None, int]] = [("a", begin - 1), ("b", begin - 30 * DAY), (None, begin)]
    asked += [("a", begin + 400 * DAY), ("nowhere", begin + HOUR)]
    for ride in chance.sample(rides, 40):
        asked.append((ride.city, chance.choice([ride.known, ride.known - 1, ride.time + 3 * HOUR])))
    made = computed(view, _events(rides), _instants(asked))
    known = taken([each for each in rides if each.time <= each.known + FUTURE])
    names = [(window, function) for window in WINDOWS for function in FUNCTIONS]
    for row, (city, at) in enumerate(asked):
        seen = [each for each in known if each.city == city and each.known <= at]
        for place, (window, function) in enumerate(names):
            want = expected(window, function, seen, at)
            cell = made.table[f"v.f{place}"][row].as_py()
            told = f"{function} {window} of {city} at {at}"
            if want is None or _missing(seen, at):
                assert cell == -7.25, told
            else:
                assert cell == pytest.approx(want, rel=1e-9, abs=1e-6), told
        assert made.table["v.missing"][row].as_py() == _missing(seen, at), (city, at)


def _missing(seen: Sequence[Ride], at: int) -> bool:
    return not any(expected(window, "count", seen, at) for window in WINDOWS)


def _events(rides: Sequence[Ride]) -> pa.Table:
    def instants(cells: Sequence[int]) -> pa.Array[Any]:
        return pa.array(cells, pa.int64()).cast(UTC_US)

    return pa.table(
        {
            "id": [each.id for each in rides],
            "event_time": instants([each.time for each in rides]),
            "known_at": instants([each.known for each in rides]),
            "city": pa.array([each.city for each in rides], pa.string()),
            "fare": pa.array([each.fare for each in rides], pa.float64()),
            "riders": pa.array([each.riders for each in rides], pa.int64()),
        }
    )


def _instants(asked: Sequence[tuple[str | None, int]]) -> pa.Table:
    return pa.table(
        {
            "city": pa.array([city for city, _ in asked], pa.string()),
            "at": pa.array([at for _, at in asked], pa.int64()).cast(UTC_US),
        }
    )
