"""Loads that were killed and are gone on with: every row is there, and none is written twice."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tailrace.features.codec import RowCodec
from tailrace.features.generation_writer import GenerationWriter
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_options import BadRowLimit
from tailrace.features.redis_link import RedisLink
from tailrace.features.row_schema import row_schema
from tests.support.feature_command import run_features, start_features
from tests.support.feature_world import FeatureWorld, MakeWorld, view
from tests.support.redis_fixtures import StartRedis
from tests.support.waiting import wait_for

ROWS = 120_000
ANY_NUMBER = BadRowLimit(share=1.0)


def thing(**parts: Any) -> dict[str, Any]:
    return view("thing", {"a": "float64", "n": "int64"}, **parts)


def write_rows(world: FeatureWorld, rows: int = ROWS, offset: float = 0.0) -> Path:
    """Writes rows of which some are bad: row i of key `k<i>`, with two duplicates and a null."""
    numbers = np.arange(rows)
    ids: list[str | None] = [f"k{number}" for number in range(rows)]
    ids[5] = None
    ids[rows // 2] = "k0"
    ids[rows - 1] = "k1"
    return world.parquet({"id": ids, "a": numbers + offset, "n": numbers}, "things")


def expected(rows: int = ROWS, offset: float = 0.0) -> dict[str, tuple[float, int]]:
    left_out = {5, rows // 2, rows - 1}
    return {f"k{n}": (n + offset, n) for n in range(rows) if n not in left_out}


def stored(world: FeatureWorld) -> dict[str, tuple[float, int]]:
    """Returns all rows of the generation that lookups read, and checks that there are no others."""
    with world.redis() as client:
        pointer = json.loads(client.get(world.names.pointer("thing")) or b"{}")
        prefix = world.names.generation("thing", pointer["generation"]).encode()
        keys: list[bytes] = list(client.scan_iter(world.names.rows("thing") + "*", count=10_000))
        assert all(key.startswith(prefix) for key in keys)
        data: list[bytes] = []
        for start in range(0, len(keys), 10_000):
            data += client.mget(keys[start : start + 10_000])
        assert not client.exists(world.names.loading("thing"), world.names.progress("thing"))
    assert len(keys) == pointer["rows"]
    schema = row_schema(world.views["thing"])
    decoded = RowCodec(schema).decode(data)
    assert not decoded.corrupt
    columns = {
        group.dtype.value: found for group, found in zip(schema.groups, decoded.values, strict=True)
    }
    a, n = columns["float64"][0].tolist(), columns["int64"][0].tolist()
    names = [key[len(prefix) :].decode() for key in keys]
    return dict(zip(names, zip(a, n, strict=True), strict=True))


def rows_done(world: FeatureWorld) -> int:
    with world.redis() as client:
        data = client.get(world.names.progress("thing"))
    return 0 if data is None else int(json.loads(data)["rows_done"])


def kill_at(world: FeatureWorld, log: Path, rows: int, *arguments: str) -> int:
    """Starts a load, kills it once it has written so many rows; returns how many it had."""
    process = start_features(world, log, "load", *arguments)
    try:
        wait_for(lambda: rows_done(world) >= rows or process.poll() is not None, 60)
    finally:
        process.kill()
        process.wait()
    with world.redis() as client:
        # As if its time were over.
        client.delete(world.names.lock("thing"))
    return rows_done(world)


def commands_called(world: FeatureWorld, name: str) -> int:
    with world.redis() as client:
        stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])


def test_loads_killed_at_random_places_are_gone_on_with_and_end_in_the_same_rows(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(thing())
    file = write_rows(world)
    chosen = random.Random(7)
    arguments = (str(file), "--view", "thing")
    reached = 0
    places = sorted(chosen.randrange(1, ROWS * 3 // 4) for _ in range(3))
    for place in places:
        died_at = kill_at(world, tmp_path / "killed.log", place, *arguments)
        assert died_at >= reached, "what was written once is not written again"
        reached = died_at
        assert 0 < reached < ROWS, (tmp_path / "killed.log").read_text()
    before = commands_called(world, "mset")
    result = run_features(world, "load", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["resumed_at"] == reached
    assert f"going on after {reached:,} rows" in result.stderr
    assert report["generation"] == 1
    assert report["rows"] == ROWS - 3
    assert report["bad_rows"] == {"null key": 1, "duplicate key": 2}, "as if it was never killed"
    assert stored(world) == expected()
    # 512 rows a command.
    assert commands_called(world, "mset") - before <= (ROWS - reached) / 512 + ROWS / 8192 + 1


def test_a_load_of_another_source_or_a_restart_begins_anew(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(thing())
    file = write_rows(world)
    arguments = (str(file), "--view", "thing", "--json")
    assert kill_at(world, tmp_path / "log", 20_000, *arguments)
    write_rows(world, offset=0.5)  # the source changed meanwhile
    result = run_features(world, "load", *arguments)
    report = json.loads(result.stdout)
    assert (report["resumed_at"], report["generation"]) == (0, 2)
    assert stored(world) == expected(offset=0.5)
    write_rows(world, offset=1.5)
    assert kill_at(world, tmp_path / "log", 20_000, *arguments)
    result = run_features(world, "load", *arguments, "--restart")
    report = json.loads(result.stdout)
    assert (report["resumed_at"], report["generation"]) == (0, 4)
    assert stored(world) == expected(offset=1.5)


def test_a_load_with_other_options_begins_anew(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(thing())
    file = write_rows(world)
    assert kill_at(world, tmp_path / "log", 20_000, str(file), "--view", "thing")
    result = run_features(
        world, "load", str(file), "--view", "thing", "--timestamp-column", "n", "--json"
    )
    assert json.loads(result.stdout)["resumed_at"] == 0
    half, last = ROWS // 2, ROWS - 1
    later = {"k0": (float(half), half), "k1": (float(last), last)}
    assert stored(world) == expected() | later, "of rows with one key the latest counts"


async def test_a_load_whose_redis_restarts_is_gone_on_with(
    make_world: MakeWorld, start_redis: StartRedis, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    server = start_redis(data_dir=data, append_only=True)
    world = make_world(thing(), server=server)
    rows = 40_000
    file = write_rows(world, rows)

    def restart(done: int, total: int | None) -> None:
        if done == 16_384:
            server.kill()
            server.start()

    with pytest.raises(LoadFailed, match="cannot be reached"):
        await world.load("thing", file, on_progress=restart, max_bad_rows=ANY_NUMBER)
    with world.redis() as client:
        client.delete(world.names.lock("thing"))
    report = await world.load("thing", file, max_bad_rows=ANY_NUMBER)
    assert report.resumed_at == 16_384
    assert stored(world) == expected(rows)


async def test_a_redis_that_comes_back_empty_is_loaded_anew(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server)
    rows = 20_000
    file = write_rows(world, rows)

    def restart(done: int, total: int | None) -> None:
        if done == 8192:
            server.kill()
            server.start()

    with pytest.raises(LoadFailed, match="cannot be reached"):
        await world.load("thing", file, on_progress=restart, max_bad_rows=ANY_NUMBER)
    report = await world.load("thing", file, max_bad_rows=ANY_NUMBER)
    assert report.resumed_at == 0
    assert stored(world) == expected(rows)


async def test_rows_that_another_load_removed_are_not_taken_for_written(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(thing())
    rows = 40_000
    file = write_rows(world, rows)
    assert kill_at(world, tmp_path / "log", 8192, str(file), "--view", "thing")
    # Another load begins, removes what is there, and dies before it wrote a row.
    link = RedisLink(world.url, client_name="tests")
    writer = GenerationWriter(link, world.names, "thing")
    await writer.__aenter__()
    await writer.start("another", 0)
    await writer.lock.stop_keeping()
    await link.close()
    with world.redis() as client:
        client.delete(world.names.lock("thing"))
    report = await world.load("thing", file, max_bad_rows=ANY_NUMBER)
    assert (report.resumed_at, report.generation) == (0, 3)
    assert stored(world) == expected(rows)


async def test_a_load_that_fails_before_it_begins_leaves_what_can_be_gone_on_with(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(thing())
    file = write_rows(world)
    died_at = kill_at(world, tmp_path / "log", 20_000, str(file), "--view", "thing")
    broken = world.folder / "broken.parquet"
    broken.write_bytes(b"not parquet")
    with pytest.raises(LoadFailed, match="cannot be read"):
        await world.load("thing", broken)
    report = await world.load("thing", file, max_bad_rows=ANY_NUMBER)
    assert report.resumed_at == died_at


async def test_rows_without_timestamps_are_as_old_as_the_load_that_began(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(thing())
    file = write_rows(world)
    kill_at(world, tmp_path / "log", 20_000, str(file), "--view", "thing")
    await world.load("thing", file, max_bad_rows=ANY_NUMBER)
    with world.redis() as client:
        rows = client.mget([world.names.generation("thing", 1) + key for key in ("k2", "k119998")])
    assert isinstance(rows, list)
    decoded = RowCodec(row_schema(world.views["thing"])).decode(rows)
    assert len(set(decoded.as_of_us.tolist())) == 1


def test_a_load_beside_another_is_refused_with_a_status_of_its_own(make_world: MakeWorld) -> None:
    world = make_world(thing())
    file = write_rows(world, 10)
    with world.redis() as client:
        client.set(world.names.lock("thing"), "elsewhere:1:x", px=60_000)
    result = run_features(world, "load", str(file), "--view", "thing")
    assert result.returncode == 75
    assert "another load of it is running (process 1 on elsewhere)" in result.stderr


async def test_a_file_changed_while_it_is_read_fails_the_load(make_world: MakeWorld) -> None:
    world = make_world(thing())
    file = write_rows(world, 20_000)

    def change(done: int, total: int | None) -> None:
        if done == 8192:
            write_rows(world, 30_000)

    with pytest.raises(LoadFailed, match="was changed while it was read"):
        await world.load("thing", file, on_progress=change, max_bad_rows=ANY_NUMBER)
