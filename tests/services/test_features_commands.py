"""`tailrace features list|search|show|stats|get`, run as a person runs them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.state import MeshState, ProcessState, RedisState, write_state
from tests.support.command import run_command
from tests.support.feature_command import run_features
from tests.support.feature_world import FeatureWorld, MakeWorld
from tests.support.registry_world import ITEM, RegistryService, click, registry_world, write_view

HOUR_US = 3_600_000_000
# What would name files or a Redis; without it a mesh that is up is asked.
_SETTINGS = ("TAILRACE_PIPELINES_DIR", "TAILRACE_FEATURE_REDIS_URL")


@pytest_asyncio.fixture
async def world(
    make_world: MakeWorld, tmp_path: Path, fresh_redis: LocalRedis
) -> AsyncIterator[FeatureWorld]:
    """Three items, of which one is fresh, and clicks."""
    world = registry_world(make_world, tmp_path, fresh_redis)
    now_us = time.time_ns() // 1000
    table = {
        "item_id": [1, 2, 3],
        "price": [0.5, 1.5, None],
        "colour": ["red", "green", "green"],
        "listed_at": [datetime(2013, 1, 1, tzinfo=UTC)] * 3,
        "embedding": [[1.0, 2.0, 3.0]] * 3,
        "label": ["a", "b", "b"],
        "seen": [now_us, now_us - HOUR_US * 3 // 2, now_us - 9 * HOUR_US],
    }
    await world.load("item", table, timestamp_column="seen")
    await click(world, {"a": now_us - 1_000_000, "b|c": now_us - HOUR_US * 3 // 4})
    yield world


def run_without_settings(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name not in _SETTINGS}
    return run_command(["features", *arguments], folder, environment)


def words(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return " ".join(result.stdout.split())


async def test_list_tells_kinds_freshness_owners_and_users(world: FeatureWorld) -> None:
    lines = run_features(world, "list").stdout.splitlines()
    rows = {line.split()[0]: " ".join(line.split()) for line in lines if line.strip()}
    assert rows["item"].startswith("item static item item_id 5 3 ")
    assert rows["item"].endswith("old catalogue p, shop")
    assert rows["clicks"].startswith("clicks windowed item id 3 - has events web ")
    assert rows["unused"].endswith("never loaded - nobody")
    listed = json.loads(run_features(world, "list", "--json", "--owner", "web").stdout)
    assert [view["name"] for view in listed] == ["clicks"]
    assert listed[0]["stored"]["generation"] == 1
    # The name that the command had before.
    assert json.loads(run_features(world, "views", "--json", "--owner", "web").stdout) == listed
    wrong = run_features(world, "list", "--kind", "streaming")
    assert wrong.returncode == 1 and "static, windowed, feast" in wrong.stderr
    unknown = run_features(world, "list", "--pipeline", "shpo")
    assert unknown.returncode == 1 and not unknown.stdout
    assert "no pipeline 'shpo'; did you mean 'shop'?" in unknown.stderr


async def test_views_without_rows_are_told_by_kind(
    make_world: MakeWorld, tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    empty = registry_world(make_world, tmp_path, fresh_redis)
    lines = run_features(empty, "list").stdout.splitlines()
    rows = {line.split()[0]: " ".join(line.split()) for line in lines if line.strip()}
    assert "no events yet" in rows["clicks"] and "never loaded" in rows["item"]
    got = run_features(empty, "get", "item", "item_id=1")
    assert got.returncode == 1 and "item: never loaded" in got.stdout


async def test_stale_data_is_marked(world: FeatureWorld) -> None:
    old = time.time_ns() // 1000 - 26 * HOUR_US
    table = {"item_id": [1], "price": [1.0], "colour": ["red"], "label": ["a"], "seen": [old]}
    table |= {"listed_at": [datetime(2013, 1, 1, tzinfo=UTC)], "embedding": [[1.0, 2.0, 3.0]]}
    await world.load("item", table, timestamp_column="seen")
    assert "1 d 2 h old, stale" in words(run_features(world, "list"))
    assert "1 d 2 h old, stale, may be 1 h old" in words(run_features(world, "stats", "item"))


async def test_search_finds_features_and_suggests_words(world: FeatureWorld) -> None:
    text = words(run_features(world, "search", "price"))
    assert "item.price float64 EUR item catalogue" in text
    several = json.loads(run_features(world, "search", "clicks", "1h", "--json").stdout)
    assert [(hit["view"], hit["feature"]) for hit in several["hits"]][0] == ("clicks", "clicks_1h")
    nothing = run_features(world, "search", "colur")
    assert nothing.returncode == 1
    assert nothing.stdout.strip() == "nothing fits 'colur'; did you mean: colour?"


async def test_show_prints_a_tree_of_the_file_and_its_users(world: FeatureWorld) -> None:
    text = words(run_features(world, "show", "item"))
    for part in (
        "item static view of item What the shop sells.",
        "owner: catalogue",
        "price float64, EUR, default 0.0",
        "embedding float32 × 3",
        "one of: red, green",
        "path: items.parquet",
        "stale: older than 1h (default); missing: not there, or older than 2h (flag)",
        "as good, by item_id = request.item_item_id",
        "model reads: price, missing",
        "postprocess reads: label",
        "unread: colour, listed_at, embedding",
    ):
        assert part in text, part
    windowed = words(run_features(world, "show", "clicks"))
    assert "count of events over 1h, in tiles of 1m, where x >= 0.0" in windowed
    assert "count of events since midnight, America/New_York, in tiles of 15m" in windowed
    assert "event click Somebody looked at an item." in windowed
    shown = json.loads(run_features(world, "show", "item", "--json").stdout)
    assert shown["view"]["max_age_us"] == HOUR_US
    assert shown["view"]["features"][0]["default_value"] == 0.0
    assert shown["consumers"][1]["model_reads"] == ["price", "missing"]
    unknown = run_features(world, "show", "itme")
    assert unknown.returncode == 1
    assert "no feature view 'itme'; did you mean 'item'?" in unknown.stderr


async def test_stats_tell_loads_and_samples(world: FeatureWorld) -> None:
    result = run_features(world, "stats", "item")
    text = words(result)
    assert "3 rows from item.parquet" in text
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.strip()}
    assert rows["price"] == ["price", "33.33%", "-", "0.5", "0.5", "0.5", "1.5", "1.5", "1"]
    assert "2: b (2), a (1)" in text
    assert rows["listed_at"][3:9] == ["2013-01-01T00:00:00Z"] * 6
    windowed = words(run_features(world, "stats", "clicks"))
    assert "2 entities (all that there are), now: 1 fresh, 1 stale, 0 missing" in windowed
    assert "newest event of the sample" in windowed
    found = json.loads(run_features(world, "stats", "clicks", "--json", "--sample", "1").stdout)
    assert (found["sample"]["entities"], found["sample"]["complete"]) == (1, False)
    assert found["sample"]["features"][0]["mean"] == 1.0
    loaded = words(run_features(world, "stats", "item", "--at", "2013-11-01T13:20:00Z"))
    assert "a static view has no past" in loaded
    past = words(run_features(world, "stats", "clicks", "--at", "2013-11-01T13:20:00Z"))
    assert "at 2013-11-01 13:20:00 UTC: 0 fresh, 0 stale, 0 missing, 2 not kept" in past
    assert "after this instant: --at asks for another, such as --at 20" in past
    later = words(run_features(world, "stats", "clicks", "--at", "2100-01-01"))
    _, _, advice = later.partition("before this instant: --at asks for another, such as ")
    followed = words(run_features(world, "stats", "clicks", *advice.split()))
    assert " 2 fresh," in followed or " 1 fresh," in followed
    wrong = run_features(world, "stats", "clicks", "--at", "noon")
    assert wrong.returncode == 1 and "--at: 'noon', expected an instant" in wrong.stderr


def test_what_is_no_feature_service_is_told(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        found = run_without_settings(tmp_path, "list", "--target", f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
    assert found.returncode == 1
    assert f"what listens at 127.0.0.1:{port} is no feature service" in found.stderr
    assert "UNIMPLEMENTED" not in found.stderr and "--target HOST:PORT" in found.stderr


async def test_get_shows_entities_by_their_keys(world: FeatureWorld) -> None:
    text = words(run_features(world, "get", "item", "item_id=1"))
    assert "item item_id=1: fresh" in text and "price 0.5 EUR" in text
    assert 'colour "red"' in text and '"2013-01-01T00:00:00Z"' in text
    assert "[1.0, 2.0, 3.0]" in text
    several = run_features(world, "get", "item", "item_id=2", "item_id=9")
    assert several.returncode == 1
    shown = " ".join(several.stdout.split())
    assert "item_id=2: stale, 1 h 30 min old" in shown
    assert "item_id=9: missing: defaults stand in" in shown and 'label "none" default' in shown
    found = json.loads(run_features(world, "get", "clicks", "id=b|c", "--json").stdout)
    (entity,) = found["entities"]
    assert (entity["keys"], entity["state"]) == ({"id": "b|c"}, "STALE")
    assert entity["features"][0] == {"name": "clicks_1h", "value": 1, "present": True}
    before = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    early = run_features(world, "get", "clicks", "id=a", "--at", before)
    assert early.returncode == 1 and "id=a: missing" in " ".join(
        early.stdout.replace('"', "").split()
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("item", "1"), "expected a key and its value, as item_id=…"),
        (("item", "item=1"), "has no key 'item', only item_id; did you mean 'item_id'?"),
        (("item", "item_id=one"), "item_id=one: expected a value of type int64"),
        (("item", "item_id=1", "--at", "noon"), "--at: 'noon', expected an instant such as"),
        (("itms", "id=1"), "no feature view 'itms'; did you mean 'item'?"),
        (("item", "item_id=1", "--redis-url", "redis://u:secret@127.0.0.1:1"), "at 127.0.0.1:1"),
        (("item", "item_id=1", "--redis-url", "nothing"), "cannot be used"),
        (("item", "item_id=1", "--views-dir", "none"), "there is no folder none"),
        (("item", "item_id=1", "--views-dir", ".", "--target", "x:1"), "or else --views-dir"),
    ],
)
async def test_get_says_what_is_wrong(
    world: FeatureWorld, arguments: tuple[str, ...], problem: str
) -> None:
    result = run_features(world, "get", *arguments)
    assert result.returncode == 1
    assert problem in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr and "secret" not in result.stderr


async def test_a_refused_file_is_told_and_fails_the_list(world: FeatureWorld) -> None:
    write_view(world, {**ITEM, "view": "broken", "ttl": "1m"})
    result = run_features(world, "list")
    assert result.returncode == 1
    assert "broken.yaml: line" in result.stderr and "at least max_age" in result.stderr
    assert "item" in result.stdout


async def test_files_are_listed_without_redis(world: FeatureWorld) -> None:
    result = run_features(world, "list", "--redis-url", "unix:///none.sock")
    assert result.returncode == 1 and "cannot be reached" in result.stderr
    assert "catalogue" in result.stdout
    shown = run_features(world, "show", "item", "--redis-url", "unix:///none.sock")
    assert shown.returncode == 0


async def test_views_without_their_pipelines_have_no_users(world: FeatureWorld) -> None:
    views = world.pipelines_dir.parent / "features"
    arguments = ("show", "item", "--views-dir", str(views))
    text = words(run_without_settings(world.folder / "features", *arguments))
    assert "used by nobody" in text


def write_mesh(world: FeatureWorld, folder: Path, port: int, name: str = "features") -> None:
    """Writes the state of a mesh in `folder` that consists of one service, which is up."""
    log = folder / "log"
    own = ProcessState.of_running("launcher", os.getpid(), log_path=log)
    service = ProcessState.of_running(name, os.getpid(), log_path=log, grpc_port=port)
    state = MeshState(
        mesh="trial",
        started_at=datetime.now(UTC),
        launcher=own,
        processes=(service,),
        redis=RedisState(url=world.url, version="7"),
    )
    write_state(folder / ".tailrace" / "meshes" / "trial" / "state.json", state)


async def test_the_mesh_that_is_up_is_asked_where_nothing_is_named(
    world: FeatureWorld, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    none = await asyncio.to_thread(run_without_settings, folder, "list")
    assert none.returncode == 1
    assert "no mesh is up" in none.stderr and "--target HOST:PORT" in none.stderr
    service = RegistryService(world, tmp_path)
    try:
        target = service.process.target
        write_mesh(world, folder, int(target.rpartition(":")[2]))

        async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(run_without_settings, folder, *arguments)

        listed = await run("list")
        assert f"the feature service at {target}" in words(listed)
        assert "catalogue" in listed.stdout
        for arguments in (("get", "item", "item_id=1"), ("get", "item", "item_id=1", "--json")):
            assert (await run(*arguments)).returncode == 0
        named: Any = json.loads((await run("show", "clicks", "--name", "trial", "--json")).stdout)
        assert named["view"]["name"] == "clicks"
        unknown = await run("stats", "itme", "--target", target)
        assert unknown.returncode == 1
        assert "tailrace: error: no feature view 'itme'; did you mean 'item'?" in unknown.stderr
    finally:
        await service.stop()
    gone = await asyncio.to_thread(run_without_settings, folder, "list", "--timeout", "2s")
    assert gone.returncode == 1
    assert "the feature service at" in gone.stderr and "UNAVAILABLE" in gone.stderr


async def test_a_mesh_without_a_feature_service_says_what_else_can_be_asked(
    world: FeatureWorld, tmp_path: Path
) -> None:
    write_mesh(world, tmp_path, 1, name="gateway")
    result = run_without_settings(tmp_path, "list")
    assert result.returncode == 1
    assert "no process 'features'" in result.stderr and "--views-dir" in result.stderr
