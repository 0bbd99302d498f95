"""Loads and lookups at once: readers see one whole generation, whatever becomes of a load."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from tailrace.features.generation_writer import GenerationWriter
from tailrace.features.load_errors import LoadFailed, LoadLocked
from tailrace.features.load_options import BadRowLimit
from tailrace.features.redis_link import RedisLink
from tailrace.features.state import FeatureState
from tailrace.runtime.errors import Unavailable
from tests.support.feature_world import PREFIX, FeatureWorld, MakeWorld, view
from tests.support.redis_fixtures import StartRedis
from tests.support.waiting import wait_for

IDS = [f"entity-{number}" for number in range(2000)]
BESIDE_ROWS = 2  # the pointer and the statistics


def table(value: float, ids: list[str] = IDS) -> dict[str, Any]:
    """Returns rows whose every feature is `value`."""
    return {"id": ids, "a": np.full(len(ids), value), "b": np.full(len(ids), value)}


def thing(**parts: Any) -> dict[str, Any]:
    return view("thing", {"a": "float64", "b": "float64"}, **parts)


def keys_of(world: FeatureWorld, name: str = "thing") -> set[bytes]:
    """Returns all keys in the store that belong to a view."""
    with world.redis() as client:
        keys = {*client.keys(f"{PREFIX}:fv:{name}:*"), *client.keys(f"{PREFIX}:fv:{{{name}}}*")}
    return keys


async def seen(world: FeatureWorld, ids: list[str] = IDS) -> set[float]:
    """Returns the values that one lookup of many entities sees."""
    keys = {name: ids if name == "thing.id" else [None] * len(ids) for name in world.key_columns}
    batch, found = await world.look_up(keys)
    assert not batch.rows.failures, batch.rows.failures
    assert (found.views[0].states == FeatureState.FRESH).all()
    return {*found.columns["thing.a"].tolist(), *found.columns["thing.b"].tolist()}


@pytest.mark.parametrize("cache_bytes", [0, 20_000, 10_000_000], ids=["no", "small", "large"])
async def test_lookups_without_pause_through_20_switches_see_no_miss_and_no_mix(
    make_world: MakeWorld, cache_bytes: int
) -> None:
    world = make_world(thing(on_missing="fail"), cache_bytes=cache_bytes)
    await world.load("thing", table(0.0))
    loading = True
    values: list[float] = []

    async def look_up_without_pause() -> None:
        while loading:
            (value,) = await seen(world, IDS[::40])
            values.append(value)
            # A lookup that is wholly cached waits for nothing, and would let nothing else run.
            await asyncio.sleep(0)

    readers = [asyncio.create_task(look_up_without_pause()) for _ in range(3)]
    for generation in range(1, 21):
        await world.load("thing", table(float(generation)))
    loading = False
    await asyncio.gather(*readers)
    await world.store.ping(1.0)  # what Redis told of the last switch is taken by now
    assert await seen(world) == {20.0}
    assert len(set(values)) >= 15, "the lookups ran beside the loads"
    assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS  # and nothing else


async def test_a_process_that_knew_an_older_generation_reads_the_new_one_at_once(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing(on_missing="fail"))
    await world.load("thing", table(1.0))
    assert await seen(world) == {1.0}
    await world.load("thing", table(2.0))
    assert await seen(world) == {2.0}
    with world.redis() as client:
        client.flushall()
    batch, _ = await world.look_up({"thing.id": ["entity-1"]})
    assert batch.rows.failures[0].reason.name == "VIEW_NOT_LOADED"
    await world.load("thing", table(3.0))
    assert await seen(world) == {3.0}


async def test_a_row_that_the_new_file_leaves_out_is_missing(make_world: MakeWorld) -> None:
    world = make_world(thing())
    await world.load("thing", table(1.0, ["x", "y"]))
    await world.load("thing", table(2.0, ["y"]))
    _, found = await world.look_up({"thing.id": ["x", "y"]})
    assert found.views[0].states.tolist() == [FeatureState.MISSING, FeatureState.FRESH]


async def test_a_load_touches_no_other_view(make_world: MakeWorld) -> None:
    parts = {"a": "float64", "b": "float64"}
    world = make_world(view("thing", parts), view("thing-2", parts), view("thin", parts))
    for name in ("thing", "thing-2", "thin"):
        await world.load(name, table(1.0, ["x"]))
    await world.load("thing", table(2.0, ["x"]))
    _, found = await world.look_up({f"{name}.id": ["x"] for name in ("thing", "thing-2", "thin")})
    values = [found.columns[f"{name}.a"][0] for name in ("thing", "thing-2", "thin")]
    assert values == [2.0, 1.0, 1.0]


async def test_rows_are_invisible_until_the_load_is_complete(make_world: MakeWorld) -> None:
    world = make_world(thing(on_missing="fail"))
    await world.load("thing", table(1.0))
    ids = [f"entity-{number}" for number in range(20_000)]  # three batches
    visible: list[int] = []

    def look(done: int, total: int | None) -> None:
        with world.redis() as client:
            assert len(client.keys(world.names.generation("thing", 2) + "*")) == done
            pointer = client.get(world.names.pointer("thing"))
        assert isinstance(pointer, bytes)
        visible.append(json.loads(pointer)["generation"])

    await world.load("thing", table(2.0, ids), on_progress=look)
    assert visible == [1, 1, 1]
    assert await seen(world) == {2.0}


async def test_a_failed_load_changes_nothing_and_leaves_nothing(make_world: MakeWorld) -> None:
    world = make_world(thing(on_missing="fail"))
    await world.load("thing", table(1.0))
    before = keys_of(world)
    bad = table(2.0, [*IDS, *IDS[:5]])
    with pytest.raises(LoadFailed, match="5 of 2005 rows are bad") as caught:
        await world.load("thing", bad, max_bad_rows=BadRowLimit(count=4))
    assert caught.value.bad_rows == {"duplicate key": 5}
    assert keys_of(world) == before
    assert await seen(world) == {1.0}


async def test_a_cancelled_load_changes_nothing_or_everything(make_world: MakeWorld) -> None:
    world = make_world(thing(on_missing="fail"))
    await world.load("thing", table(0.0))
    outcomes = set()
    for attempt in range(1, 31):
        load = asyncio.create_task(world.load("thing", table(float(attempt))))
        # Each time a little later, so that it is caught at every stage.
        await asyncio.sleep(attempt * 0.0015)
        load.cancel()
        done = (await asyncio.gather(load, return_exceptions=True))[0]
        (value,) = await seen(world)
        if not isinstance(done, BaseException):
            assert value == attempt
        outcomes.add(value == attempt)
        assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS
    assert False in outcomes


async def test_a_load_cut_off_while_it_goes_live_leaves_rows_and_pointer_in_step(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    world = make_world(thing(on_missing="fail"), server=start_redis())
    await world.load("thing", table(1.0))
    link = RedisLink(world.url, client_name="tests")
    async with GenerationWriter(link, world.names, "thing") as writer:
        await writer.start()
        await writer.write(["entity-0"], [b"row"])
        assert writer.current is not None
        pointer = replace(writer.current, generation=writer.generation)
        publishing = asyncio.create_task(writer.publish(pointer, b"{}"))
        await asyncio.sleep(0)  # the command is sent
        link.reset("cut off by the test")
        with pytest.raises(Unavailable):
            await publishing
    await link.close()
    with world.redis() as client:
        stored = client.get(world.names.pointer("thing"))
        assert isinstance(stored, bytes)
        generation = json.loads(stored)["generation"]
        rows = client.keys(world.names.generation("thing", generation) + "*")
    assert len(rows) == {1: len(IDS), 2: 1}[generation]
    assert len(keys_of(world)) == len(rows) + BESIDE_ROWS


# Loads a file, says so, and stands still in the middle until it is killed.
_STUCK_LOAD = """
import asyncio, sys, time
from pathlib import Path
from tailrace.features.loader import load_view
from tailrace.features.load_options import LoadOptions
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.pipeline.load import load_feature_view

def stick(done, total):
    print(done, flush=True)
    time.sleep(60)

async def main(url, view_file, file):
    view, _ = load_feature_view(Path(view_file))
    link = RedisLink(url, client_name="stuck")
    options = LoadOptions(lock_ttl_ms=700)
    await load_view(view, Path(file), link=link, prefix="test", options=options, on_progress=stick)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_load_killed_half_way_is_invisible_and_cleaned_up_by_the_next(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing(on_missing="fail"))
    await world.load("thing", table(1.0))
    file = world.parquet(table(2.0))
    view_file = world.folder / "features" / "thing.yaml"
    command = [sys.executable, "-c", _STUCK_LOAD, world.url, str(view_file), str(file)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert int(await process.stdout.readline()) == len(IDS)
    process.kill()
    await process.wait()
    half = world.names.generation("thing", 2).encode()
    assert sum(key.startswith(half) for key in keys_of(world)) == len(IDS)
    assert await seen(world) == {1.0}
    with pytest.raises(LoadLocked, match=f"process {process.pid} on"):
        await world.load("thing", table(3.0))
    with world.redis() as client:
        await until(lambda: not client.exists(world.names.lock("thing")))
    report = await world.load("thing", table(3.0))
    assert report.generation == 3, "the number of the dead load is not used again"
    assert await seen(world) == {3.0}
    assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Returns once the condition holds, and lets other tasks run until then."""
    await asyncio.to_thread(wait_for, condition, timeout_s)


async def test_two_loads_of_a_view_at_once_are_one_load_and_a_clear_error(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing(), view("other", {"a": "float64", "b": "float64"}))
    results = await asyncio.gather(
        world.load("thing", world.parquet(table(1.0), "first")),
        world.load("thing", world.parquet(table(2.0), "second")),
        world.load("other", table(3.0)),
        return_exceptions=True,
    )
    failures = [result for result in results if isinstance(result, BaseException)]
    assert len(failures) == 1, results
    assert isinstance(failures[0], LoadLocked)
    assert "another load of it is running" in str(failures[0])
    assert len(await seen(world)) == 1
    assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS


async def test_a_load_that_stood_still_past_its_lock_does_not_undo_the_one_after_it(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    ids = [f"entity-{number}" for number in range(10_000)]  # two batches
    file = world.parquet(table(1.0, ids), "slow")

    def stand_still(done: int, total: int | None) -> None:
        if done < len(ids):
            time.sleep(1.6)  # the lock, of 1 s, ends meanwhile
            run_in_thread(world.load("thing", table(2.0)))

    with pytest.raises(LoadLocked, match="lock was lost"):
        await world.load("thing", file, on_progress=stand_still, lock_ttl_ms=1000)
    assert await seen(world) == {2.0}
    await world.load("thing", table(3.0))
    assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS, "what the slow load left is gone"


def run_in_thread(coroutine: Any) -> None:
    thread = threading.Thread(target=asyncio.run, args=(coroutine,))
    thread.start()
    thread.join()


async def test_a_long_load_keeps_its_lock(make_world: MakeWorld) -> None:
    world = make_world(thing())
    writing = asyncio.Event()
    link_time = 3.0

    async def load_slowly() -> Any:
        link = RedisLink(world.url, client_name="tests")
        try:
            async with GenerationWriter(link, world.names, "thing", lock_ttl_ms=1000) as writer:
                await writer.start()
                writing.set()
                await asyncio.sleep(link_time)
                await writer.write(["x"], [b"row"])
        finally:
            await link.close()

    slow = asyncio.create_task(load_slowly())
    await writing.wait()
    await asyncio.sleep(link_time / 2)
    with pytest.raises(LoadLocked):
        await world.load("thing", table(1.0))
    await slow
    assert keys_of(world) == set()


# -- unchanged files ------------------------------------------------------------------------


async def test_an_unchanged_file_is_not_loaded_twice(make_world: MakeWorld) -> None:
    world = make_world(thing())
    file = world.parquet(table(1.0))
    first = await world.load("thing", file, if_changed=True)
    assert (first.generation, first.unchanged) == (1, False)
    second = await world.load("thing", file, if_changed=True)
    assert (second.generation, second.rows, second.unchanged) == (1, len(IDS), True)
    again = await world.load("thing", file)
    assert (again.generation, again.unchanged) == (2, False)
    world.parquet(table(2.0))
    changed = await world.load("thing", file, if_changed=True)
    assert (changed.generation, changed.unchanged) == (3, False)
    assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS


async def test_a_changed_view_is_loaded_again(make_world: MakeWorld) -> None:
    first = make_world(thing())
    file = first.parquet(table(1.0))
    await first.load("thing", file, if_changed=True)
    second = make_world(view("thing", {"a": "float32", "b": "float64"}))
    report = await second.load("thing", file, if_changed=True)
    assert not report.unchanged


async def test_rows_of_a_clock_that_was_set_back_are_loaded_anew(make_world: MakeWorld) -> None:
    world = make_world(thing(max_age="1d"))
    file = world.parquet({"id": ["x"], "a": [1.0], "b": [1.0]})
    await world.load("thing", file)
    with world.redis() as client:
        pointer = json.loads(client.get(world.names.pointer("thing")) or b"")
        pointer["loaded_at_us"] += 365 * 86_400_000_000
        client.set(world.names.pointer("thing"), json.dumps(pointer))
    assert not (await world.load("thing", file, if_changed=True)).unchanged
    assert (await world.load("thing", file, if_changed=True)).unchanged


async def test_a_lock_that_no_load_has_written_is_told(make_world: MakeWorld) -> None:
    world = make_world(thing())
    with world.redis() as client:
        client.set(world.names.lock("thing"), "mine")
    with pytest.raises(LoadLocked, match="process \\? on mine"):
        await world.load("thing", {"id": ["x"], "a": [1.0], "b": [1.0]})


async def test_an_unchanged_file_is_loaded_again_before_its_rows_become_stale(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing(max_age="200ms"))
    file = world.parquet(table(1.0))
    await world.load("thing", file)
    await asyncio.sleep(0.11)
    assert not (await world.load("thing", file, if_changed=True)).unchanged


async def test_what_a_dead_load_left_goes_even_where_the_file_is_unchanged(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    file = world.parquet(table(1.0))
    await world.load("thing", file)
    with world.redis() as client:
        client.set(world.names.loading("thing"), 2)
        client.set(world.names.generation("thing", 2) + "x", b"row")
    assert (await world.load("thing", file, if_changed=True)).unchanged
    assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS


# -- a store that is full, gone, or refuses -------------------------------------------------


def snapshot_failed(client: redis.Redis) -> bool:
    info = client.info("persistence")
    assert isinstance(info, dict)
    return bool(info["rdb_last_bgsave_status"] == "err")


async def test_a_full_store_fails_the_load_and_lookups_go_on(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis(max_memory_bytes=4_000_000)
    world = make_world(thing(on_missing="fail"), server=server)
    await world.load("thing", table(1.0))
    large = table(2.0, [f"entity-{number}" for number in range(100_000)])
    with pytest.raises(LoadFailed, match="OOM"):
        await world.load("thing", large)
    assert await seen(world) == {1.0}
    assert len(keys_of(world)) == len(IDS) + BESIDE_ROWS, "what was written is gone again"


async def test_a_store_that_cannot_save_fails_the_load_and_lookups_go_on(
    make_world: MakeWorld, start_redis: StartRedis, tmp_path: Path
) -> None:
    world = make_world(thing(on_missing="fail"), server=start_redis(data_dir=tmp_path))
    await world.load("thing", table(1.0))
    (tmp_path / "dump.rdb").mkdir()  # so that the snapshot cannot be put in place
    with world.redis() as client:
        client.config_set("save", "1 1")
        client.bgsave()
        await until(lambda: snapshot_failed(client))
    with pytest.raises(LoadFailed, match="MISCONF"):
        await world.load("thing", table(2.0))
    assert await seen(world) == {1.0}
    with world.redis() as client:
        # Else it does not end before it has saved.
        client.config_set("save", "")


async def test_without_a_store_the_load_fails(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server)
    server.kill()
    with pytest.raises(LoadFailed, match="cannot be reached"):
        await world.load("thing", table(1.0))
