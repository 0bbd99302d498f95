"""The cache of lookups, kept right by what a real Redis tells of changed keys."""

from __future__ import annotations

import asyncio
import functools
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tailrace.cli.local.local_redis import LocalRedis, find_redis_server
from tailrace.cli.local.process import ChildProcess
from tailrace.features.app import open_store as open_configured_store
from tailrace.features.key_cache import KeyCache
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.static_rows import StaticRead
from tailrace.features.store import Command
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import Unavailable
from tests.support.feature_world import FeatureWorld, MakeWorld, view
from tests.support.keys_read import KeysRead, OpenStore, read_keys, reconnected
from tests.support.redis_fixtures import StartRedis
from tests.support.waiting import wait_for

CACHE_BYTES = 1_000_000


@pytest.fixture
def cache() -> KeyCache:
    return KeyCache(CACHE_BYTES, 60.0)


@pytest.fixture
async def store(open_store: OpenStore, fresh_redis: LocalRedis, cache: KeyCache) -> Any:
    return open_store(fresh_redis.url, cache)


@pytest.fixture
def client(fresh_redis: LocalRedis) -> Any:
    with redis.Redis.from_url(fresh_redis.url) as opened:
        opened.config_resetstat()
        yield opened


def calls(client: redis.Redis, command: str = "mget") -> int:
    """Returns how often the server has executed a command."""
    stats = client.info("commandstats")
    assert isinstance(stats, dict)
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def lookups_connection(client: redis.Redis) -> Any:
    """Returns what the server says about the connection that looks up."""

    def found() -> list[Any]:
        return [one for one in client.client_list() if one["name"] == "tailrace-features"]

    # Those of earlier tests may take a moment to go.
    wait_for(lambda: len(found()) == 1)
    return found()[0]


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Returns once the condition holds, and lets other tasks run until then."""
    await asyncio.to_thread(wait_for, condition, timeout_s)


# -- what is cached -------------------------------------------------------------------------


async def test_a_lookup_whose_keys_are_all_cached_makes_no_round_trip(
    store: RedisFeatureStore, client: redis.Redis
) -> None:
    client.mset({"a": b"1", "b": b"2"})
    assert await read_keys(store, "a", "b", "none") == [b"1", b"2", None]
    assert await read_keys(store, "none", "a") == [None, b"1"]
    assert await read_keys(store, "b") == [b"2"]
    assert calls(client) == 1
    assert await read_keys(store, "c", "a") == [None, b"1"]
    assert calls(client) == 2


async def test_a_lookup_of_a_loaded_view_is_cached_with_its_pointer(make_world: MakeWorld) -> None:
    world = make_world(
        view("thing", {"a": "float64"}), view("other", {"a": "float64"}), cache_bytes=CACHE_BYTES
    )
    await world.load("thing", {"id": ["x", "y"], "a": [1.0, 2.0]})
    keys: dict[str, list[Any]] = {
        "thing.id": ["x", "y", "none", None],
        "other.id": ["x"] * 4,
    }
    _, first = await world.look_up(keys)  # learns the pointers
    with world.redis() as client:
        client.config_resetstat()
        for _ in range(3):
            _, again = await world.look_up(keys)
            assert again.columns["thing.a"].tolist() == first.columns["thing.a"].tolist()
            assert again.views[0].states.tolist() == first.views[0].states.tolist()
            assert again.views[1].states.tolist() == first.views[1].states.tolist()
        assert calls(client) == 0


async def test_without_a_setting_nothing_is_cached_and_nothing_tracked(
    make_world: MakeWorld,
) -> None:
    world = make_world(view("thing", {"a": "float64"}))
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    with world.redis() as client:
        await world.look_up({"thing.id": ["x"]})
        client.config_resetstat()
        await world.look_up({"thing.id": ["x"]})
        await world.look_up({"thing.id": ["x"]})
        assert calls(client) == 2
        assert "t" not in lookups_connection(client)["flags"]


async def test_commands_are_sent_each_time_and_never_cached(
    store: RedisFeatureStore, client: redis.Redis
) -> None:
    client.hset("hash", "field", "1")
    commands: list[Command] = [("HMGET", "hash", "field"), ("PFCOUNT", "log")]
    for turn in range(3):
        client.hset("hash", "field", str(turn))
        client.pfadd("log", str(turn))
        rows = (await store.read([KeysRead(["a"], commands)]))[0].rows
        assert rows == [None, [str(turn).encode()], turn + 1]
    assert (calls(client, "hmget"), calls(client, "pfcount"), calls(client)) == (3, 3, 1)


async def test_the_bound_is_kept_and_the_least_recently_used_are_read_again(
    open_store: OpenStore, fresh_redis: LocalRedis, client: redis.Redis
) -> None:
    cache = KeyCache(20_000, 60.0)
    store = open_store(fresh_redis.url, cache)
    client.mset({f"k{number}": bytes(100) for number in range(200)})
    for number in range(200):
        assert await read_keys(store, "k0", f"k{number}") == [bytes(100)] * 2
        assert cache.bytes <= 20_000
    assert cache.evictions > 100
    assert calls(client) == 200, "k0 stayed, as it was used each time"
    await read_keys(store, "k0", "k199")
    assert calls(client) == 200
    await read_keys(store, "k1")
    assert calls(client) == 201


async def test_after_its_time_a_value_is_read_again(
    open_store: OpenStore, fresh_redis: LocalRedis, client: redis.Redis
) -> None:
    times_s = [0.0]
    cache = KeyCache(CACHE_BYTES, 5.0, now_s=lambda: times_s[-1])
    store = open_store(fresh_redis.url, cache)
    for now_s, expected in ((0.0, 1), (4.9, 1), (5.0, 2), (9.9, 2), (10.0, 3)):
        times_s.append(now_s)
        await read_keys(store, "a")
        assert calls(client) == expected


# -- what Redis tells -----------------------------------------------------------------------


async def test_a_key_changed_while_the_client_is_idle_is_forgotten_without_a_command(
    store: RedisFeatureStore, client: redis.Redis, cache: KeyCache
) -> None:
    client.mset({"a": b"1", "b": b"2"})
    assert await read_keys(store, "a", "b", "c") == [b"1", b"2", None]
    for change, expected in (
        (lambda: client.set("a", "new"), b"new"),
        (lambda: client.delete("a"), None),
    ):
        client.config_resetstat()
        change()
        await until(lambda: "a" not in cache)
        assert "b" in cache
        stats = client.info("commandstats")
        commands = {name.removeprefix("cmdstat_").split("|")[0] for name in stats}
        assert commands <= {"set", "del", "config", "info"}, "none of the client's own"
        assert await read_keys(store, "a") == [expected]
        assert calls(client) == 1
    client.set("c", "3")
    await until(lambda: "c" not in cache)
    assert await read_keys(store, "c", "b") == [b"3", b"2"]


async def test_a_flush_and_an_expiry_are_told_too(
    store: RedisFeatureStore, client: redis.Redis, cache: KeyCache
) -> None:
    client.set("lasting", "1")
    client.set("passing", "2", px=100)
    assert await read_keys(store, "lasting", "passing") == [b"1", b"2"]
    await until(lambda: "passing" not in cache)
    assert "lasting" in cache
    assert await read_keys(store, "passing") == [None]
    client.flushall()
    await until(lambda: not len(cache))
    assert await read_keys(store, "lasting", "passing") == [None, None]


async def test_a_lost_connection_empties_the_cache_at_once(
    store: RedisFeatureStore, client: redis.Redis, cache: KeyCache
) -> None:
    client.set("a", "1")
    assert await read_keys(store, "a") == [b"1"]
    assert len(cache) == 1
    client.client_kill_filter(_id=lookups_connection(client)["id"])
    await until(lambda: not len(cache))
    client.set("a", "2")
    assert await read_keys(store, "a") == [b"2"]
    client.set("a", "3")
    await until(lambda: not len(cache))
    assert await read_keys(store, "a") == [b"3"]


async def test_a_server_that_dies_or_stands_still_takes_the_cache_with_it(
    open_store: OpenStore, start_redis: StartRedis, cache: KeyCache
) -> None:
    server = start_redis()
    store = open_store(server.url, cache)
    await read_keys(store, "a")
    assert len(cache) == 1
    server.kill()
    await until(lambda: not len(cache))
    with pytest.raises(Unavailable):
        await read_keys(store, "a")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
        assert await read_keys(store, "a") == [b"1"]
        # What does not answer may have changed without our being told.
        client.execute_command("CLIENT", "PAUSE", 500)
        with pytest.raises(Unavailable):
            await store.ping(0.05)
        assert not len(cache)


async def test_after_closing_the_cache_is_empty(store: RedisFeatureStore, cache: KeyCache) -> None:
    await read_keys(store, "a")
    assert len(cache) == 1
    await store.close()
    assert (len(cache), cache.bytes) == (0, 0)


async def test_a_lookup_that_is_cancelled_leaves_the_cache_right(
    store: RedisFeatureStore, client: redis.Redis, cache: KeyCache
) -> None:
    await store.ping(1.0)
    for turn in range(30):
        client.set("a", str(turn))
        lookups = [asyncio.create_task(read_keys(store, "a", f"k{turn}{n}")) for n in range(10)]
        await asyncio.sleep(0)
        for lookup in lookups[::2]:
            lookup.cancel()
        client.set("a", f"{turn} after")
        for number, outcome in enumerate(await asyncio.gather(*lookups, return_exceptions=True)):
            assert isinstance(outcome, BaseException) == (number % 2 == 0)
        await store.ping(1.0)  # what was told before is taken by now
        assert await read_keys(store, "a") == [f"{turn} after".encode()]


# -- instants -------------------------------------------------------------------------------


def in_another_thread(work: Callable[[], Any]) -> None:
    """Returns when the work is done; meanwhile this thread's event loop takes nothing in."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def fill_and_load(world: FeatureWorld, value: float) -> None:
    ids = ["x", "y", "z"]
    table = {"id": ids, "a": [value] * 3, "b": [value] * 3}
    in_another_thread(lambda: asyncio.run(world.load("thing", table)))


async def values(world: FeatureWorld, *ids: str) -> set[float]:
    """Returns the values that one lookup sees, which has to find all of them."""
    batch, found = await world.look_up({"thing.id": list(ids)})
    assert not batch.rows.failures, batch.rows.failures
    return {*found.columns["thing.a"].tolist(), *found.columns["thing.b"].tolist()}


async def test_a_switch_between_a_cached_pointer_and_the_rows_is_seen(
    make_world: MakeWorld,
) -> None:
    features = {"a": "float64", "b": "float64"}
    world = make_world(view("thing", features, on_missing="fail"), cache_bytes=CACHE_BYTES)
    cached = [world.names.pointer("thing"), f"{world.names.generation('thing', 1)}x"]
    fill_and_load(world, 1.0)
    assert await values(world, "x") == {1.0}
    assert await values(world, "x") == {1.0}
    assert world.cache is not None
    for generation in range(2, 12):
        # The loop has no turn until the lookup has named its rows: what Redis tells of the
        # switch, and of the rows removed, lies in the socket.
        fill_and_load(world, float(generation))
        assert all(key in world.cache for key in cached)
        # Wholly cached: as it was before.
        assert await values(world, "x") == {generation - 1.0}
        assert await values(world, "x", "y", "z") == {float(generation)}
        rows = world.names.generation("thing", generation)
        assert world.cache.drop(f"{rows}y")
        assert world.cache.drop(f"{rows}z")
        assert await values(world, "x") == {float(generation)}
        cached[1] = f"{rows}x"


async def test_what_changes_together_is_read_together_though_half_of_it_is_cached(
    store: RedisFeatureStore, client: redis.Redis, cache: KeyCache
) -> None:
    client.mset({"a": b"0", "b": b"0"})
    for turn in range(1, 20):
        assert await read_keys(store, "a") == [str(turn - 1).encode()]
        cache.drop("b")
        in_another_thread(functools.partial(client.mset, {"a": str(turn), "b": str(turn)}))
        assert "a" in cache, "that it changed lies in the socket"
        assert await read_keys(store, "a", "b") == [str(turn).encode()] * 2
        await store.ping(1.0)


def has_read_since(client: redis.Redis, reads: int) -> bool:
    return calls(client) > reads


async def test_a_key_that_changes_while_its_reply_is_under_way_is_not_kept(
    store: RedisFeatureStore, client: redis.Redis, cache: KeyCache
) -> None:
    await store.ping(1.0)
    for turn in range(20):
        client.set("a", f"{turn} old")
        await store.ping(1.0)
        reads = calls(client)
        lookup = asyncio.create_task(read_keys(store, "a"))
        await asyncio.sleep(0)  # the command is sent
        # The reply, and that the key has changed since, lie in the socket together.
        wait_for(functools.partial(has_read_since, client, reads))
        client.set("a", f"{turn} new")
        assert await lookup == [f"{turn} old".encode()]
        await until(lambda: "a" not in cache)
        assert await read_keys(store, "a") == [f"{turn} new".encode()]


# -- servers that do not tell ---------------------------------------------------------------


async def test_a_server_that_does_not_tell_is_read_without_the_cache_and_that_is_said_once(
    open_store: OpenStore, start_redis: StartRedis, cache: KeyCache
) -> None:
    server = start_redis()
    with redis.Redis.from_url(server.url) as client:
        rule = "ACL SETUSER limited on >secret ~* &* +@all -client +client|setname +client|id"
        client.execute_command(*rule.split())
        client.set("a", "1")
        url = server.url.replace("?db=0", "?db=0&username=limited&password=secret")
        store = open_store(url, cache)
        with capture_logs() as logs:
            assert await read_keys(store, "a") == [b"1"]
            client.set("a", "2")
            assert await read_keys(store, "a") == [b"2"]
            await store.read([KeysRead(["a"], [("HGETALL", "none")])])
            client.client_kill_filter(_id=lookups_connection(client)["id"])
            await reconnected(store)
            assert await read_keys(store, "a") == [b"2"]
        assert [line["event"][:17] for line in logs] == ["feature cache off"]
        assert logs[0]["problem"] == "NOPERM"
        assert len(cache) == 0
        # Once the server tells, a new connection is cached.
        client.execute_command("ACL", "SETUSER", "limited", "+@all")
        client.client_kill_filter(_id=lookups_connection(client)["id"])
        with capture_logs() as logs:
            await reconnected(store)
            assert await read_keys(store, "a") == [b"2"]
        assert [line["event"][:16] for line in logs] == ["feature cache on"]
        assert len(cache) == 1
        # And where it no longer does, a new connection is not.
        client.execute_command(*rule.split())
        client.client_kill_filter(_id=lookups_connection(client)["id"])
        await until(lambda: not len(cache))
        for turn in range(3):
            client.set("a", str(turn))
            assert await read_keys(store, "a") == [str(turn).encode()]
        assert len(cache) == 0


async def test_a_server_without_resp3_is_read_without_the_cache(
    open_store: OpenStore, tmp_path: Path, cache: KeyCache
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(find_redis_server()), "--port", "0", "--unixsocket", f"{folder}/redis.sock"]
        command += ["--save", "", "--dir", folder, "--rename-command", "HELLO", ""]
        process = ChildProcess("old redis", command, log_path=tmp_path / "redis.log")
        process.start()
        try:
            with redis.Redis(unix_socket_path=f"{folder}/redis.sock", protocol=2) as client:
                process.wait_until(
                    lambda: answers(client), timeout_s=10, waiting_for="an answer to PING"
                )
                store = open_store(f"unix://{folder}/redis.sock", cache)
                with capture_logs() as logs:
                    for turn in range(3):
                        client.set("a", str(turn))
                        assert await read_keys(store, "a") == [str(turn).encode()]
                assert [line["event"][:17] for line in logs] == ["feature cache off"]
                assert len(cache) == 0
        finally:
            process.stop(5)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


# -- metrics --------------------------------------------------------------------------------


def metric(name: str) -> float:
    value = REGISTRY.get_sample_value(name)
    assert value is not None
    return value


async def test_hits_misses_invalidations_evictions_and_size_are_told(
    open_store: OpenStore, fresh_redis: LocalRedis, client: redis.Redis
) -> None:
    told = {
        name: metric(name)
        for name in (
            names.FEATURE_CACHE_HITS_TOTAL,
            names.FEATURE_CACHE_MISSES_TOTAL,
            names.FEATURE_CACHE_INVALIDATIONS_TOTAL,
            names.FEATURE_CACHE_EVICTIONS_TOTAL,
            names.FEATURE_CACHE_BYTES,
            names.FEATURE_CACHE_ENTRIES,
        )
    }

    def since() -> list[float]:
        return [metric(name) - before for name, before in told.items()]

    cache = KeyCache(1100, 60.0)  # three entries
    store = open_store(fresh_redis.url, cache)
    await read_keys(store, "connects")
    assert since() == [0, 0, 0, 0, cache.bytes, 1]
    await read_keys(store, "a", "b")
    await read_keys(store, "a", "b", "connects")
    assert since() == [3, 2, 0, 0, cache.bytes, 3]
    await read_keys(store, "a", "c")
    assert since() == [4, 3, 0, 1, cache.bytes, 3]
    client.set("a", "1")
    await until(lambda: "a" not in cache)
    assert since() == [4, 3, 1, 1, cache.bytes, 2]
    client.flushall()
    await until(lambda: not len(cache))
    assert since() == [4, 3, 3, 1, 0, 0]


async def test_a_view_that_was_never_loaded_is_cached_as_such_until_it_is(
    fresh_redis: LocalRedis, make_world: MakeWorld
) -> None:
    world = make_world(view("thing", {"a": "float64"}), cache_bytes=CACHE_BYTES)
    read = [StaticRead("thing", ["x"])]
    for _ in range(3):
        assert (await world.store.read(read))[0].pointer is None
    with world.redis() as client:
        reads = calls(client)
        await world.store.read(read)
        assert calls(client) == reads
    await world.load("thing", {"id": ["x"], "a": [1.0]})
    assert world.cache is not None
    cache = world.cache
    await until(lambda: world.names.pointer("thing") not in cache)
    found = (await world.store.read(read))[0]
    assert found.pointer is not None
    assert found.rows[0] is not None


async def test_the_settings_switch_it_on(
    fresh_redis: LocalRedis, client: redis.Redis, tmp_path: Path
) -> None:
    for cache_bytes, reads in ((0, 3), (CACHE_BYTES, 1)):
        settings = FeaturesSettings(
            pipelines_dir=tmp_path,
            feature_redis_url=fresh_redis.url,
            feature_cache_bytes=cache_bytes,
        )
        store = open_configured_store(settings)
        client.config_resetstat()
        for _ in range(3):
            assert await read_keys(store, "a") == [None]
        assert calls(client) == reads
        await store.close()
