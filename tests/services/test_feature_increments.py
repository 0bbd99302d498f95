"""Incremental loads: only what is new, never over what is later, and the same when run again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tailrace.features.feature_statistics import ViewStatistics
from tailrace.features.increment_writer import IncrementWriter
from tailrace.features.load_errors import LoadFailed, LoadLocked
from tailrace.features.load_lock import LoadLock
from tailrace.features.load_options import BadRowLimit
from tailrace.features.redis_errors import RedisUnreachable
from tailrace.features.redis_link import RedisLink
from tailrace.features.state import FeatureState
from tests.support.feature_world import FeatureWorld, MakeWorld, view

PLACES = pytest.mark.parametrize("new_generation", [False, True], ids=["in place", "copy"])


def thing(**parts: Any) -> dict[str, Any]:
    return view("thing", {"a": "float64"}, **parts)


def table(rows: Mapping[str, tuple[float, int]]) -> dict[str, Any]:
    """Returns columns of value and timestamp (microseconds) by key."""
    values, instants = zip(*rows.values(), strict=True)
    return {"id": list(rows), "a": list(values), "at": list(instants)}


async def load(world: FeatureWorld, rows: Mapping[str, tuple[float, int]], **options: Any) -> Any:
    return await world.load("thing", table(rows), timestamp_column="at", **options)


async def values(world: FeatureWorld, *ids: str) -> list[float | None]:
    batch, found = await world.look_up({"thing.id": ids})
    assert not batch.rows.failures
    states = found.views[0].states.tolist()
    cells = found.columns["thing.a"].tolist()
    return [None if s == FeatureState.MISSING else c for s, c in zip(states, cells, strict=True)]


def pointer(world: FeatureWorld) -> dict[str, Any]:
    with world.redis() as client:
        data = client.get(world.names.pointer("thing"))
    assert isinstance(data, bytes)
    content: dict[str, Any] = json.loads(data)
    return content


def row_count(world: FeatureWorld) -> int:
    with world.redis() as client:
        return len(list(client.scan_iter(world.names.rows("thing") + "*")))


@PLACES
async def test_only_rows_from_the_watermark_on_are_loaded(
    make_world: MakeWorld, new_generation: bool
) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 100), "y": (1.0, 200), "z": (1.0, 150)})
    assert pointer(world)["watermark_us"] == 200
    report = await load(
        world,
        {"x": (2.0, 199), "y": (2.0, 200), "z": (2.0, 300), "new": (2.0, 250)},
        incremental=True,
        new_generation=new_generation,
    )
    assert await values(world, "x", "y", "z", "new") == [1.0, 2.0, 2.0, 2.0]
    assert (report.added, report.updated, report.outdated) == (1, 2, 0)
    assert (report.rows, report.watermark_us) == (4, 300)
    assert report.generation == (2 if new_generation else 1)
    found = pointer(world)
    assert (found["rows"], found["watermark_us"], found["increments"]) == (4, 300, 1)
    assert row_count(world) == 4


@PLACES
async def test_the_overlap_takes_what_came_late_and_never_replaces_what_is_later(
    make_world: MakeWorld, new_generation: bool
) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 1000), "y": (1.0, 2000)})
    report = await load(
        world,
        {"x": (2.0, 1500), "y": (2.0, 1999), "late": (2.0, 1200), "too late": (2.0, 999)},
        incremental=True,
        overlap=timedelta(microseconds=1000),
        new_generation=new_generation,
    )
    assert (report.added, report.updated, report.outdated) == (1, 1, 1)
    assert await values(world, "x", "y", "late", "too late") == [2.0, 1.0, 2.0, None]
    assert report.watermark_us == 2000


@pytest.mark.parametrize("instant", [-(2**52), -1, 0, 2**32 - 1, 2**32, 2**32 + 1, 2**52])
async def test_timestamps_are_compared_exactly(make_world: MakeWorld, instant: int) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, instant), "y": (1.0, instant - 2)})
    everything = {"incremental": True, "overlap": timedelta(microseconds=10)}
    report = await load(world, {"x": (2.0, instant - 1), "y": (2.0, instant - 1)}, **everything)
    assert (report.updated, report.outdated) == (1, 1)
    assert await values(world, "x", "y") == [1.0, 2.0]


@PLACES
async def test_a_row_of_the_far_future_keeps_no_later_increment_from_its_rows(
    make_world: MakeWorld, new_generation: bool
) -> None:
    world = make_world(thing())
    never = 253_370_764_800_000_000  # the year 9999, which stands for "no end"
    await load(world, {"x": (1.0, 100), "y": (1.0, never)})
    assert pointer(world)["watermark_us"] < never
    now_us = time.time_ns() // 1000
    for value in (2.0, 3.0):
        rows = {"x": (value, now_us), "z": (value, never)}
        now_us += 1_000_000
        await load(world, rows, incremental=True, new_generation=new_generation)
        assert await values(world, "x", "y", "z") == [value, 1.0, value]


async def test_nothing_new_is_no_failure_and_changes_no_row(make_world: MakeWorld) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 100)})
    report = await load(world, {"x": (2.0, 99)}, incremental=True)
    assert (report.unchanged, report.rows, report.watermark_us) == (True, 1, 100)
    assert await values(world, "x") == [1.0]


async def test_an_increment_that_dies_is_run_again_and_comes_to_the_same(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    old = {f"k{n}": (0.0, 10) for n in range(100)}
    await load(world, old)
    new = {f"k{n}": (1.0, 20) for n in range(50, 30_000)}

    def die(done: int, total: int | None) -> None:
        raise RedisUnreachable("the test")

    with pytest.raises(LoadFailed, match="cannot be reached"):
        await load(world, new, incremental=True, on_progress=die)
    assert pointer(world)["watermark_us"] == 10
    assert pointer(world)["rows"] == 100
    assert row_count(world) > 100
    report = await load(world, new, incremental=True)
    assert (report.rows, report.watermark_us) == (30_000, 20)
    assert row_count(world) == 30_000
    assert await values(world, "k0", "k49", "k50", "k29999") == [0.0, 0.0, 1.0, 1.0]


async def test_rows_added_by_an_increment_that_died_are_not_counted_after_a_full_load(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 10)})

    def die(done: int, total: int | None) -> None:
        raise RedisUnreachable("the test")

    with pytest.raises(LoadFailed):
        await load(world, {"y": (1.0, 20)}, incremental=True, on_progress=die)
    await load(world, {"x": (1.0, 10)})
    report = await load(world, {"z": (1.0, 30)}, incremental=True)
    assert report.rows == row_count(world) == 2


async def test_a_copy_that_dies_leaves_lookups_and_store_as_they_were(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 10)})

    def die(done: int, total: int | None) -> None:
        raise RedisUnreachable("the test")

    options = {"incremental": True, "new_generation": True}
    with pytest.raises(LoadFailed):
        await load(world, {"x": (2.0, 20), "y": (2.0, 20)}, on_progress=die, **options)
    assert await values(world, "x", "y") == [1.0, None]
    assert row_count(world) == 1
    report = await load(world, {"x": (2.0, 20), "y": (2.0, 20)}, **options)
    assert report.rows == row_count(world) == 2


async def test_too_many_bad_rows_fail_an_increment_before_any_row_is_written(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 10)})
    rows = table({"x": (2.0, 20), "y": (2.0, 20)})
    rows["id"][1] = None
    with pytest.raises(LoadFailed, match="1 of 2 rows are bad") as caught:
        await world.load("thing", rows, timestamp_column="at", incremental=True)
    assert caught.value.bad_rows == {"null key": 1}
    assert await values(world, "x") == [1.0]
    report = await world.load(
        "thing", rows, timestamp_column="at", incremental=True, max_bad_rows=BadRowLimit(share=0.5)
    )
    assert (report.updated, report.bad_rows) == (1, {"null key": 1})


async def test_what_an_increment_cannot_do_is_refused(make_world: MakeWorld) -> None:
    world = make_world(thing())
    with pytest.raises(LoadFailed, match="needs a timestamp column"):
        await world.load("thing", {"id": ["x"], "a": [1.0]}, incremental=True)
    with pytest.raises(LoadFailed, match="was never loaded: load it in full first"):
        await load(world, {"x": (1.0, 10)}, incremental=True)
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    with pytest.raises(LoadFailed, match="was loaded without timestamps"):
        await load(world, {"x": (1.0, 10)}, incremental=True)
    other = make_world(view("thing", {"a": "float32"}))
    with pytest.raises(LoadFailed, match="other keys or features .* load it in full"):
        await load(other, {"x": (1.0, 10)}, incremental=True)
    await load(world, {"x": (1.0, 10)})
    with world.redis() as client:
        client.set(world.names.lock("thing"), "elsewhere:1:x", px=60_000)
    with pytest.raises(LoadLocked):
        await load(world, {"x": (1.0, 10)}, incremental=True)


async def test_an_increment_whose_lock_was_taken_writes_nothing(make_world: MakeWorld) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 10)})

    def take_lock(done: int, total: int | None) -> None:
        with world.redis() as client:
            client.set(world.names.lock("thing"), "elsewhere:1:x", px=60_000)

    new = {f"k{n}": (1.0, 20) for n in range(10_000)}  # two batches
    with pytest.raises(LoadLocked, match="lock was lost"):
        await load(world, new, incremental=True, on_progress=take_lock)
    assert row_count(world) == 1 + 8192, "the second batch found the lock taken"
    assert pointer(world)["rows"] == 1


async def test_a_stored_row_that_is_corrupt_is_replaced(make_world: MakeWorld) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 10)})
    with world.redis() as client:
        client.set(world.names.generation("thing", 1) + "x", b"short")
    report = await load(world, {"x": (2.0, 20)}, incremental=True)
    assert (report.updated, report.rows) == (1, 1)
    assert await values(world, "x") == [2.0]


async def test_lookups_go_on_while_increments_are_written_and_see_no_miss(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing(on_missing="fail"))
    ids = [f"k{n}" for n in range(2000)]
    await load(world, dict.fromkeys(ids, (0.0, 1)))
    loading = True
    seen: set[float] = set()

    async def look_up_without_pause() -> None:
        while loading:
            found = await values(world, *ids[::50])
            assert None not in found
            seen.update(cell for cell in found if cell is not None)

    reader = asyncio.create_task(look_up_without_pause())
    for number in range(1, 11):
        rows = dict.fromkeys(ids, (float(number), 1 + number))
        await load(world, rows, incremental=True, new_generation=number % 2 == 0)
    loading = False
    await reader
    assert await values(world, "k0") == [10.0]
    assert len(seen) > 1, "the lookups ran beside the loads"


async def test_a_full_load_follows_increments_whatever_its_file(make_world: MakeWorld) -> None:
    world = make_world(thing())
    file = world.parquet(table({"x": (1.0, 10)}))
    await world.load("thing", file, timestamp_column="at")
    await load(world, {"x": (2.0, 20)}, incremental=True)
    report = await world.load("thing", file, timestamp_column="at", if_changed=True)
    assert not report.unchanged
    assert await values(world, "x") == [1.0]


async def test_statistics_keep_the_full_load_and_tell_the_increment_apart(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    await load(world, {"x": (1.0, 10), "y": (3.0, 10)})
    await load(world, {"x": (9.0, 20)}, incremental=True)
    with world.redis() as client:
        data = client.get(world.names.statistics("thing"))
    assert isinstance(data, bytes)
    found = ViewStatistics.from_json(data)
    assert found.generation == 1
    assert found.full is not None
    assert found.increment is not None
    assert (found.full.rows, found.full.features[0].max) == (2, 3.0)
    assert (found.increment.rows, found.increment.features[0].max) == (1, 9.0)


async def test_the_writer_counts_what_it_did(make_world: MakeWorld) -> None:
    world = make_world(thing())
    link = RedisLink(world.url, client_name="tests")
    lock = LoadLock(link, world.names.lock("thing"), "thing", 10_000)
    await lock.take()
    writer = IncrementWriter(link, world.names, "thing", 1, lock, in_place=True)
    head = bytes(8)
    rows = [head + at.to_bytes(8, "little", signed=True) for at in (5, 4, 6)]
    await writer.write(["x"], rows[:1])
    await writer.write(["x"], rows[1:2])
    await writer.write(["x"], rows[2:])
    assert (writer.added, writer.updated, writer.outdated) == (1, 1, 1)
    assert await writer.added_in_place() == 1
    await lock.stop_keeping()
    await link.close()
