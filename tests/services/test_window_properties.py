"""Windowed features from Redis equal those computed from the list of all events."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.windows.updates import Applied, Outcome
from tailrace.runtime.pipeline.feature_view import FeatureView
from tests.support.window_model import Event, WindowModel
from tests.support.window_world import WindowWorld, window_world, windowed_view

# The days of 2013 on which clocks change in New York.
STARTS_US = (1_362_873_600_000_000, 1_383_436_800_000_000, 1_370_000_000_000_000)
HOUR_US = 3_600_000_000

_LOUD = [{"field": "kind", "equals": "a"}]
_BIG = [{"field": "amount", "above": 0.0}, {"field": "kind", "one_of": ["a", "b"]}]
_FUNCTIONS = ("count", "sum", "mean", "min", "max", "stddev", "first", "last")

VIEWS = {
    "all functions, tiles of three sizes": windowed_view(
        {
            f"{function}_{window}": {
                "function": function, "of": "amount", "window": window, "tile": tile,
            }
            for window, tile in (("1m", "1s"), ("1h", "5m"), ("1d", "30m"))
            for function in _FUNCTIONS
        },
        lateness="2h",
    ),
    "filters and records of several forms": windowed_view(
        {
            "events": {"function": "count", "window": "3h", "type": "int64"},
            "amounts": {"function": "count", "of": "amount", "window": "3h"},
            "loud": {"function": "sum", "of": "amount", "window": "3h", "where": _LOUD},
            "big": {"function": "stddev", "of": "amount", "window": "6h", "where": _BIG},
            "mean": {"function": "mean", "of": "amount", "window": "10m", "where": _LOUD},
            "last": {"function": "last", "of": "amount", "window": "1d", "tile": "1h"},
            "first": {"function": "first", "of": "amount", "window": "2h", "where": _LOUD},
        },
        tile="10m",
        lateness="20m",
    ),
    "since midnight": windowed_view(
        {
            "new_york": {
                "function": "count", "window": "since_midnight", "timezone": "America/New_York",
            },
            "utc": {"function": "sum", "of": "amount", "window": "since_midnight"},
            "kolkata": {
                "function": "last", "of": "amount", "window": "since_midnight",
                "timezone": "Asia/Kolkata",
            },
        },
        tile="15m",
        lateness="30h",
    ),
    "distinct values": windowed_view(
        {
            "kinds": {"function": "distinct", "of": "kind", "window": "2h"},
            "kinds_1d": {"function": "distinct", "of": "kind", "window": "1d", "tile": "10m"},
            "loud": {"function": "distinct", "of": "amount", "window": "1d", "where": _LOUD},
            "events": {"function": "count", "window": "30m"},
        },
        tile="15m",
        lateness="3h",
    ),
}  # fmt: skip

_numbers = itertools.count()


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Events of two entities, in and out of order, some of them twice."""
    start = draw(st.sampled_from(STARTS_US))
    spread = draw(st.sampled_from((HOUR_US // 60, 2 * HOUR_US, 60 * HOUR_US)))
    drift = draw(st.sampled_from((0, HOUR_US // 2, 7 * HOUR_US)))
    amount = st.one_of(
        st.none(),
        st.integers(-5, 5).map(float),
        st.floats(-1e6, 1e6, allow_nan=False),
    )
    found: list[Event] = []
    for number in range(draw(st.integers(1, 40))):
        if found and draw(st.integers(0, 9)) == 0:
            found.append(draw(st.sampled_from(found)))
            continue
        offset = draw(st.integers(0, spread)) // draw(st.sampled_from((1, 60_000_000)))
        found.append(
            Event(
                id=f"{number}",
                key=draw(st.sampled_from(("one", "two|x}"))),
                time_us=start + number * drift + offset,
                fields={"amount": draw(amount), "kind": draw(st.sampled_from("abcd"))},
            )
        )
    return found


@given(
    view=st.sampled_from(list(VIEWS.values())),
    happened=events(),
    cuts=st.lists(st.integers(1, 8), min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_served_features_equal_those_of_all_events(
    redis_server: LocalRedis, view: FeatureView, happened: list[Event], cuts: list[int], seed: int
) -> None:
    asyncio.run(_check(redis_server.url, view, happened, cuts, random.Random(seed)))


async def _check(
    url: str, view: FeatureView, happened: list[Event], cuts: list[int], chance: random.Random
) -> None:
    async with window_world(url, view, prefix=f"property{next(_numbers)}") as world:
        model = WindowModel(world.schema)
        sizes = itertools.cycle(cuts)
        done = 0
        while done < len(happened):
            batch = happened[done : done + next(sizes)]
            done += len(batch)
            outcomes = await world.apply([model.update(event) for event in batch])
            assert outcomes == model.apply(batch)
            if chance.random() < 0.2:
                await _compare(world, model, chance)
        await _compare(world, model, chance)


async def _compare(world: WindowWorld, model: WindowModel, chance: random.Random) -> None:
    """Compares what is served with the model, at and around the newest events."""
    keys, instants = [], []
    for key in ("one", "two|x}", "unknown"):
        newest = model.newest_us(key)
        for _ in range(6):
            behind = chance.choice((0, 1, 10**6, 600 * 10**6, HOUR_US, 13 * HOUR_US, 24 * HOUR_US))
            keys.append(key)
            # An event may lie up to a minute in the future of the clock that accepts it.
            future = chance.choice((0, 30 * 10**6))
            instants.append((newest or STARTS_US[0]) - future + behind)
        for _ in range(4):
            # Where what is kept ends, and far before.
            back = chance.choice((HOUR_US, 3 * HOUR_US, 30 * HOUR_US, 60 * HOUR_US, 400 * HOUR_US))
            keys.append(key)
            instants.append((newest or STARTS_US[0]) - chance.randrange(back))
    found = await world.look_up(keys, instants)
    for key, at_us in zip(keys, instants, strict=True):
        lost, earliest_us = await world.not_kept(key, at_us)
        assert lost == model.not_kept(key, at_us)
        if earliest_us is not None:
            assert at_us < earliest_us
            assert not model.not_kept(key, earliest_us)
            assert model.not_kept(key, earliest_us - 1)
    for key, at_us, row in zip(keys, instants, found, strict=True):
        expected = model.values(key, at_us)
        if expected is None or row is None:
            assert row is None and expected is None, (key, at_us, row, expected)
            continue
        for feature in world.schema.features:
            name, function = feature.feature.name, feature.aggregate.function
            served, right = row[name], expected[name]
            if served is None or right is None:
                assert served is right, (name, at_us, row, expected)
            elif function in ("sum", "mean", "stddev"):
                scale = model.magnitude(key, "amount")
                assert math.isclose(served, right, rel_tol=1e-9, abs_tol=1e-9 * scale), name
            elif function == "distinct":
                assert abs(served - right) <= max(1, 0.02 * right), name
            else:
                assert served == right, (name, at_us, row, expected)


async def test_batches_of_any_size_leave_the_same(fresh_redis: LocalRedis) -> None:
    chance = random.Random(5)
    happened = _walk(chance, 400)
    view = VIEWS["all functions, tiles of three sizes"]
    stored = []
    for prefix, size in (("alone", 1), ("some", 7), ("all", 400)):
        async with window_world(fresh_redis.url, view, prefix=prefix) as world:
            model = WindowModel(world.schema)
            outcomes: list[Applied] = []
            for start in range(0, len(happened), size):
                batch = happened[start : start + size]
                outcomes += await world.apply([model.update(event) for event in batch])
            assert set(outcomes) == {Outcome.APPLIED, Outcome.DUPLICATE, Outcome.LATE}
            content = {}
            for key in await world.keys(f"{prefix}:fw:*"):
                if not key.endswith(b":i"):
                    content[key.removeprefix(prefix.encode())] = await world.link.call("GET", key)
            stored.append((outcomes, content))
    # The heads hold when expiry was put off, which is the same here: one clock reading each.
    first_outcomes, first_content = stored[0]
    for others, content in stored[1:]:
        assert others == first_outcomes
        assert {key: _timeless(data) for key, data in content.items()} == {
            key: _timeless(data) for key, data in first_content.items()
        }


async def test_order_within_the_lateness_does_not_matter(fresh_redis: LocalRedis) -> None:
    chance = random.Random(6)
    view = VIEWS["all functions, tiles of three sizes"]
    base = STARTS_US[2]
    happened = [
        Event(f"{number}", "one", base + chance.randrange(2 * HOUR_US), {"amount": float(number)})
        for number in range(200)
    ]
    shown = []
    for turn in range(3):
        chance.shuffle(happened)
        async with window_world(fresh_redis.url, view, prefix=f"order{turn}") as world:
            model = WindowModel(world.schema)
            outcomes = await world.apply([model.update(event) for event in happened])
            assert set(outcomes) == {Outcome.APPLIED}
            (row,) = await world.look_up(["one"], [base + 2 * HOUR_US])
            assert row is not None
            shown.append(row)
    for row in shown[1:]:
        for name, value in row.items():
            if name.startswith("stddev"):
                assert math.isclose(value, shown[0][name], rel_tol=1e-9)
            else:
                assert value == shown[0][name], name


async def test_distinct_values_are_estimated_within_two_percent(fresh_redis: LocalRedis) -> None:
    view = windowed_view(
        {"users": {"function": "distinct", "of": "user", "window": "1d", "tile": "5m"}}
    )
    base = STARTS_US[2]
    chance = random.Random(7)
    async with window_world(fresh_redis.url, view) as world:
        model = WindowModel(world.schema)
        happened = [
            Event(f"{n}", "one", base + n * 4_000_000, {"user": f"{chance.randrange(15_000)}"})
            for n in range(20_000)
        ]
        for hours in (3, 13, 23):
            at_us = base + hours * HOUR_US
            known = [event for event in happened if event.time_us <= at_us]
            await world.apply([model.update(event) for event in known])
            (row,) = await world.look_up(["one"], [at_us])
            inside = {event.fields["user"] for event in known}
            assert row is not None
            assert abs(row["users"] - len(inside)) <= 0.02 * len(inside)


def _walk(chance: random.Random, count: int) -> list[Event]:
    """Returns events of three entities, some of them late, some sent twice."""
    now = STARTS_US[2]
    found: list[Event] = []
    for number in range(count):
        now += chance.randrange(HOUR_US)
        if found and chance.random() < 0.1:
            found.append(chance.choice(found[-5:]))
            continue
        back = chance.choice((0, 0, 0, HOUR_US // 2, 2 * HOUR_US, 20 * HOUR_US))
        fields = {"amount": chance.uniform(-1, 1)}
        found.append(Event(f"{number}", chance.choice("abc"), now - back, fields))
    return found


def _timeless(data: bytes) -> bytes:
    """Returns stored bytes without the instant at which expiry was put off."""
    return data[:24] + data[32:] if data[:1] == b"\1" else data
