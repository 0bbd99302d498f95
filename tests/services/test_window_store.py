"""What windowed views leave in Redis: bounds, faults, generations, and writers side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.redis_errors import RedisRefused
from tailrace.features.redis_link import RedisLink
from tailrace.features.windows.generations import new_generation, remove_others
from tailrace.features.windows.layout import LevelLayout, window_layout
from tailrace.features.windows.script import window_script
from tailrace.features.windows.updates import Outcome, Update, event_digest
from tailrace.features.windows.writer import EVENTS_PER_SCRIPT, RedisWindowWriter
from tailrace.runtime.errors import FeaturesCorrupt, SchemaChanged
from tests.support.redis_fixtures import StartRedis
from tests.support.window_world import WindowWorld, window_world, windowed_view

BASE_US = 1_370_000_000_000_000
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US

FEATURES = {
    "events": {"function": "count", "window": "1h", "type": "int64"},
    "total": {"function": "sum", "of": "x", "window": "1h", "type": "int64"},
    "latest": {"function": "last", "of": "x", "window": "1d", "tile": "10m"},
}
VIEW = windowed_view(FEATURES)


@pytest_asyncio.fixture
async def world(fresh_redis: LocalRedis) -> AsyncIterator[WindowWorld]:
    async with window_world(fresh_redis.url, VIEW) as opened:
        yield opened


def update(number: int, time_us: int, *, key: str = "one", x: float = 1.0) -> Update:
    return Update(key, event_digest(f"{number}"), time_us, (1.0, x))


async def events_of(world: WindowWorld, key: str, at_us: int) -> int | None:
    (row,) = await world.look_up([key], [at_us])
    return None if row is None else int(row["events"])


async def test_an_event_counts_once_and_late_ones_are_refused(world: WindowWorld) -> None:
    at = BASE_US + HOUR_US
    times = (at, at, at - HOUR_US, at - HOUR_US - 1, at - HOUR_US)
    updates = [update(number, time) for number, time in zip((1, 1, 2, 3, 2), times, strict=True)]
    outcomes = await world.apply(updates)
    applied, duplicate, late = Outcome.APPLIED, Outcome.DUPLICATE, Outcome.LATE
    assert outcomes == [applied, duplicate, applied, late, duplicate]
    assert await events_of(world, "one", at) == 2


async def test_ids_are_known_as_long_as_their_events_are_not_late(world: WindowWorld) -> None:
    hours = [update(number, BASE_US + number * HOUR_US // 2) for number in range(40)]
    for each in hours:
        assert await world.apply([each]) == [Outcome.APPLIED]
    # The newest less the lateness is exactly the time of the third from last.
    assert await world.apply(hours[-3:]) == [Outcome.DUPLICATE] * 3
    assert await world.apply(hours[-5:-3]) == [Outcome.LATE] * 2
    ids = await world.link.call("ZCARD", world.entity_key("one", ":i"))
    assert ids <= 4


async def test_the_first_to_send_an_event_again_is_told_that_it_is_a_duplicate(
    world: WindowWorld, fresh_redis: LocalRedis
) -> None:
    updates = [update(number, BASE_US + number, key=f"k{number % 7}") for number in range(700)]
    async with window_world(fresh_redis.url, VIEW) as other:
        both = await asyncio.gather(
            *[writer.apply(updates[at : at + 100])
              for at in range(0, 700, 100) for writer in (world, other)]
        )  # fmt: skip
    assert sum(outcomes.count(Outcome.APPLIED) for outcomes in both) == 700
    assert sum(outcomes.count(Outcome.DUPLICATE) for outcomes in both) == 700
    for number in range(7):
        assert await events_of(world, f"k{number}", BASE_US) == 100


async def test_more_events_of_an_entity_than_one_step_takes_are_applied_in_order(
    world: WindowWorld,
) -> None:
    count = 3 * EVENTS_PER_SCRIPT + 1
    updates = [update(number, BASE_US + number, x=float(number)) for number in range(count)]
    assert set(await world.apply(updates)) == {Outcome.APPLIED}
    (row,) = await world.look_up(["one"], [BASE_US])
    assert row == {"events": count, "total": count * (count - 1) // 2, "latest": count - 1.0}


async def test_a_flushed_script_is_loaded_again(world: WindowWorld) -> None:
    for number in range(3):
        assert await world.apply([update(number, BASE_US)]) == [Outcome.APPLIED]
        await world.link.call("SCRIPT", "FLUSH")
    assert await events_of(world, "one", BASE_US) == 3


async def test_what_is_kept_of_an_entity_is_bounded(world: WindowWorld) -> None:
    async def size() -> int:
        keys = await world.keys("test:fw:*")
        return sum([int(await world.link.call("MEMORY", "USAGE", key)) for key in keys])

    layout = window_layout(world.schema)
    sizes = []
    # One event in 36 seconds for 42 days, some of them late.
    for start in range(0, 100_000, 2000):
        numbers = range(start, start + 2000)
        times = [BASE_US + n * 36_000_000 - (n % 7 == 0) * 40 * MINUTE_US for n in numbers]
        outcomes = await world.apply(
            [update(number, time) for number, time in zip(numbers, times, strict=True)]
        )
        assert set(outcomes) == {Outcome.APPLIED}
        sizes.append(await size())
        for number, level in enumerate(layout.levels):
            length = await world.link.call("STRLEN", world.entity_key("one", f":{number}"))
            most = level.level.retained_tiles * 5 // 4 + 2
            assert length <= most * level.record_bytes
    assert max(sizes[len(sizes) // 2 :]) <= max(sizes[: len(sizes) // 2]) * 1.1
    keys = await world.keys("test:fw:*")
    assert len(keys) == 2 + len(layout.levels)


async def test_a_late_event_before_all_older_tiles_does_not_keep_them_for_ever(
    world: WindowWorld,
) -> None:
    levels = window_layout(world.schema).levels

    async def check(number: int, level: LevelLayout) -> None:
        """The head knows the first tile of the string, which is cut by it."""
        data = await world.link.call("GET", world.entity_key("one", f":{number}")) or b""
        head = np.frombuffer(await world.link.call("GET", world.entity_key("one")))
        first, last = head[1 + level.oldest_at], head[1 + level.record_at]
        tiles = np.frombuffer(data).reshape(-1, level.numbers)[:, 0]
        assert first == (tiles[0] if len(tiles) else np.inf)
        kept = level.level.retained_tiles
        assert not len(tiles) or tiles[0] >= last - (kept + kept // 4) - 1

    # The second comes while there is no older tile, the fourth while there are some.
    times = [0, -30, 5, -55, *range(60, 5000, 10)]
    for number, minutes in enumerate(times):
        outcomes = await world.apply([update(number, BASE_US + minutes * MINUTE_US)])
        assert outcomes == [Outcome.APPLIED]
        for place, level in enumerate(levels):
            await check(place, level)
    for place, level in enumerate(levels):
        length = await world.link.call("STRLEN", world.entity_key("one", f":{place}"))
        assert length < (len(times) // 2) * level.record_bytes


async def test_a_window_of_the_most_tiles_is_read_whole(fresh_redis: LocalRedis) -> None:
    view = windowed_view(
        {"n": {"function": "count", "window": "512m"}, "m": {"function": "min", "of": "x",
                                                            "window": "512m"}}
    )  # fmt: skip
    async with window_world(fresh_redis.url, view) as world:
        count = 3000
        await world.apply([update(n, BASE_US + n * MINUTE_US, x=float(n)) for n in range(count)])
        last = BASE_US + (count - 1) * MINUTE_US
        rows = await world.look_up(["one"] * 3, [last, last + 100 * MINUTE_US, last + HOUR_US * 9])
        assert rows == [{"n": 513.0, "m": count - 513.0}, {"n": 413.0, "m": count - 413.0}, None]


async def test_all_keys_of_an_entity_expire_and_not_before_they_were_last_read(
    fresh_redis: LocalRedis,
) -> None:
    distinct = {"seen": {"function": "distinct", "of": "x", "window": "1d", "tile": "10m"}}
    async with window_world(fresh_redis.url, windowed_view({**FEATURES, **distinct})) as world:
        life_ms = window_script(world.schema).life_ms
        for step in range(200):
            each = update(step, BASE_US + step * 7 * MINUTE_US)
            await world.apply([Update(each.key, each.event_id, each.event_time_us, (1.0, 1.0),
                                      (b"%d" % step,))])  # fmt: skip
            world.now_ms += 7 * 60_000
        ttl: dict[bytes, int] = {}
        for key in await world.keys("test:fw:*"):
            ttl[key] = await world.link.call("PTTL", key)
        head = world.entity_key("one").encode()
        assert ttl[head] <= life_ms
        assert all(0 < ttl[head] <= left for key, left in ttl.items())
        assert life_ms > 25 * 3_600_000
        # The writer's clock ran ahead of Redis's by 23 h: what is put off in time is renewed.
        renewed = [key for key in ttl if not key.startswith(head + b":2:")]
        assert all(ttl[key] <= life_ms * 9 // 8 + 60_000 for key in renewed)


async def test_an_entity_without_an_event_in_any_window_is_absent(world: WindowWorld) -> None:
    await world.apply([update(1, BASE_US)])
    day = 24 * HOUR_US
    rows = await world.look_up(["one"] * 3, [BASE_US, BASE_US + 2 * HOUR_US, BASE_US + 2 * day])
    assert rows == [
        {"events": 1, "total": 1, "latest": 1.0},
        {"events": 0, "total": 0, "latest": 1.0},
        None,
    ]
    decoded, _ = await world.decode(["one"], [BASE_US + 5])
    assert decoded is not None
    assert decoded.as_of_us.tolist() == [BASE_US]


async def test_values_that_a_type_cannot_hold_are_no_values(fresh_redis: LocalRedis) -> None:
    view = windowed_view(
        {
            "exact": {"function": "max", "of": "x", "window": "1h", "type": "int64"},
            "sum": {"function": "sum", "of": "x", "window": "1h", "type": "int64"},
            "huge": {"function": "sum", "of": "y", "window": "1h", "type": "float32"},
            "flag": {"function": "last", "of": "y", "window": "1h", "type": "bool"},
            "when": {"function": "first", "of": "x", "window": "1h", "type": "timestamp"},
        }
    )
    async with window_world(fresh_redis.url, view) as world:
        most = float(2**53)
        await world.apply(
            [Update("one", event_digest(f"{n}"), BASE_US + n, (most, 1e308)) for n in range(1500)]
        )
        (row,) = await world.look_up(["one"], [BASE_US])
        assert row == {"exact": 2**53, "sum": None, "huge": None, "flag": True, "when": 2**53}


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        (0, "format version 7"),
        (5, "schema"),
        ("head", "a head of"),
        ("stub", "too few for a head"),
        (16, ""),
        ("levels", "not as many as its head says"),
        ("order", "not in order"),
        ("nan", "no sound numbers"),
        ("newest", "no sound time"),
    ],
)
async def test_damaged_bytes_are_told_and_never_decoded(
    world: WindowWorld, place: int | str, problem: str
) -> None:
    times = [BASE_US + minute * MINUTE_US for minute in range(30)]
    for key in ("one", "two"):
        await world.apply([update(n, time, key=key) for n, time in enumerate(times)])
    head, level = world.entity_key("one"), world.entity_key("one", ":0")
    size = window_layout(world.schema).levels[0].record_bytes
    if isinstance(place, int):
        await world.link.call("SETRANGE", head, place, b"\7")
    elif place in ("head", "stub"):
        await world.link.call("SET", head, (await world.link.call("GET", head))[: 4 + 40 * (
            place == "head")])  # fmt: skip
    elif place == "levels":
        await world.link.call("APPEND", level, bytes(size))
    elif place == "newest":
        await world.link.call("SETRANGE", head, 8, np.array(np.nan).tobytes())
    else:
        wrong = np.nan if place == "nan" else 3.0
        await world.link.call("SETRANGE", level, size, np.array(wrong).tobytes())
    at_us = times[-1]
    decoded, _ = await world.decode(["two", "one", "two"], [at_us] * 3)
    assert decoded is not None
    if not problem:
        assert not decoded.corrupt  # only says what has been removed
        return
    assert list(decoded.corrupt) == [1]
    assert problem in decoded.corrupt[1]
    assert decoded.validity is not None
    assert decoded.validity.any(axis=0).tolist() == [True, False, True]
    assert decoded.values[1][0].tolist() == [30, 0, 30]


async def test_a_writer_leaves_an_entity_alone_that_it_cannot_read(world: WindowWorld) -> None:
    times = [BASE_US + minute * MINUTE_US for minute in range(30)]
    await world.apply([update(n, time) for n, time in enumerate(times)])
    await world.link.call("DEL", world.entity_key("one", ":0"))
    for number in (100, 101):
        refused, applied = await world.apply(
            [update(number, times[-1] + MINUTE_US), update(number, times[-1], key="two")]
        )
        assert isinstance(refused, FeaturesCorrupt) and "view 'v'" in refused.message
        assert applied is Outcome.APPLIED
    decoded, _ = await world.decode(["one", "two"], [times[-1]] * 2)
    assert decoded is not None
    assert list(decoded.corrupt) == [0]
    assert await events_of(world, "two", times[-1]) == 2
    assert await world.link.call("PTTL", world.entity_key("one")) > 0


async def test_a_full_redis_refuses_events_whole(start_redis: StartRedis) -> None:
    server = start_redis(max_memory_bytes=8_000_000)
    async with window_world(server.url, VIEW) as world:
        await world.apply([update(0, BASE_US)])
        for size in (100_000, 1000, 10):
            # What a command itself takes counts, too, so that smaller ones find room again.
            with pytest.raises(RedisRefused, match="OOM"):
                for filled in range(100_000):
                    await world.link.call("SET", f"filling{size}.{filled}", bytes(size))
        before = {key: await world.link.call("DUMP", key) for key in await world.keys("test:fw*")}
        for updates in (
            [update(1, BASE_US + 1)],
            [update(1, BASE_US + 2 * MINUTE_US)],
            [update(1, BASE_US, key="new")],
        ):
            with pytest.raises(RedisRefused, match="OOM"):
                await world.apply(updates)
        after = {key: await world.link.call("DUMP", key) for key in await world.keys("test:fw*")}
        assert after == before
        await world.link.call("UNLINK", *[f"filling100000.{filled}" for filled in range(10)])
        assert await world.apply([update(1, BASE_US + 1)]) == [Outcome.APPLIED]


async def test_an_entity_of_another_definition_is_refused_alone(world: WindowWorld) -> None:
    await world.apply([update(1, BASE_US)])
    head = bytearray(await world.link.call("GET", world.entity_key("one")))
    head[4] ^= 1  # of the schema's number, behind the format's
    await world.link.call("SET", world.entity_key("one"), bytes(head))
    refused, applied = await world.apply([update(2, BASE_US), update(2, BASE_US, key="two")])
    assert isinstance(refused, SchemaChanged)
    assert "tailrace features reset v" in refused.message
    assert applied is Outcome.APPLIED
    assert await world.link.call("GET", world.entity_key("one")) == head


async def test_another_definition_needs_a_new_generation(
    world: WindowWorld, fresh_redis: LocalRedis
) -> None:
    await world.apply([update(1, BASE_US)])
    changed = windowed_view({**FEATURES, "more": {"function": "count", "window": "2h"}})
    async with window_world(fresh_redis.url, changed) as other:
        with pytest.raises(SchemaChanged, match="tailrace features reset v"):
            await other.apply([update(2, BASE_US)])
        assert await events_of(world, "one", BASE_US) == 1
        pointer = await new_generation(other.link, other.names, other.schema)
        assert pointer.generation == 2
        assert await other.apply([update(2, BASE_US)]) == [Outcome.APPLIED]
        (row,) = await other.look_up(["one"], [BASE_US])
        assert row is not None and row["events"] == 1
        with pytest.raises(SchemaChanged):
            await world.apply([update(3, BASE_US)])
        assert await remove_others(other.link, other.names, "v", 2) > 0
        assert all(b"{v:2:" in key for key in await other.keys("test:fw*"))
        (row,) = await other.look_up(["one"], [BASE_US])
        assert row is not None and row["events"] == 1


async def test_writers_and_readers_turn_to_a_new_generation_by_themselves(
    world: WindowWorld,
) -> None:
    await world.apply([update(1, BASE_US)])
    assert await events_of(world, "one", BASE_US) == 1
    await new_generation(world.link, world.names, world.schema)
    assert await events_of(world, "one", BASE_US) is None
    assert await world.apply([update(1, BASE_US), update(2, BASE_US)]) == [Outcome.APPLIED] * 2
    assert await events_of(world, "one", BASE_US) == 2


async def test_generations_begun_at_once_are_told_apart(world: WindowWorld) -> None:
    pointers = await asyncio.gather(
        *[new_generation(world.link, world.names, world.schema) for _ in range(5)]
    )
    assert sorted(pointer.generation for pointer in pointers) == [1, 2, 3, 4, 5]


async def test_an_unreadable_pointer_stops_writing_until_a_new_generation(
    world: WindowWorld,
) -> None:
    await world.link.call("SET", world.names.pointer("v"), b"{")
    with pytest.raises(FeaturesCorrupt):
        await world.apply([update(1, BASE_US)])
    await new_generation(world.link, world.names, world.schema)
    assert await world.apply([update(1, BASE_US)]) == [Outcome.APPLIED]


async def test_after_a_crash_the_log_gives_back_the_same(
    start_redis: StartRedis, tmp_path: Path
) -> None:
    server = start_redis(append_only=True, data_dir=tmp_path)
    async with window_world(server.url, VIEW) as world:
        await world.link.call("CONFIG", "SET", "appendfsync", "always")
        updates = [update(n, BASE_US + n * 20_000_000, key=f"k{n % 3}") for n in range(300)]
        await world.apply(updates)
        rows = await world.look_up(["k0", "k1", "k2"], [BASE_US + HOUR_US] * 3)
    server.kill()
    server.start()
    async with window_world(server.url, VIEW) as world:
        assert await world.look_up(["k0", "k1", "k2"], [BASE_US + HOUR_US] * 3) == rows
        again = await world.apply(updates[-30:])
        assert again == [Outcome.DUPLICATE] * 30


async def test_writers_lost_in_the_middle_leave_nothing_half_done(
    world: WindowWorld, fresh_redis: LocalRedis
) -> None:
    link = RedisLink(fresh_redis.url, client_name="lost")
    writer = RedisWindowWriter(link, "test")
    updates = [update(n, BASE_US + n, key=f"k{n}") for n in range(2000)]
    task = asyncio.create_task(writer.apply(world.schema, updates))
    # Redis answers in turn: the first of them are there, and not the last.
    await link.call("PING")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await link.close()
    assert set(await world.apply(updates)) <= {Outcome.APPLIED, Outcome.DUPLICATE}
    rows = await world.look_up([f"k{n}" for n in range(2000)], [BASE_US] * 2000)
    assert all(row is not None and row["events"] == 1 for row in rows)
