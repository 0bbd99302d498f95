"""The store when Redis is away, slow, restarted or refusing: errors in time, and recovery."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from tailrace.features.redis_errors import RedisUnreachable
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.static_rows import StaticRead
from tailrace.runtime.errors import Code, Reason, Unavailable
from tests.support.feature_world import FeatureWorld, MakeWorld, view
from tests.support.redis_fixtures import StartRedis
from tests.support.waiting import wait_for

ROW = {"id": ["x"], "a": [1.0]}


def thing() -> dict[str, object]:
    return view("thing", {"a": "float64"})


async def found(world: FeatureWorld, deadline_ms: float = 5000) -> float:
    batch, result = await world.look_up({"thing.id": ["x"]}, deadline_ms=deadline_ms)
    assert not batch.rows.failures
    return float(result.columns["thing.a"][0])


async def test_a_store_that_is_not_there_is_unavailable_at_once(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server)
    server.kill()
    # Long before its deadline.
    with pytest.raises(Unavailable) as caught:
        await found(world)
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.reason is Reason.FEATURE_STORE_UNAVAILABLE
    assert caught.value.retryable
    assert server.url not in caught.value.message
    with pytest.raises(Unavailable):
        await world.store.ping(1.0)


async def test_a_store_that_comes_up_later_is_found_by_the_next_lookup(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server, connections=2)
    server.kill()
    with pytest.raises(Unavailable):
        await found(world)
    server.start()
    await world.load("thing", ROW)
    assert await found(world) == 1.0
    await world.store.ping(1.0)


async def test_a_restart_fails_what_is_under_way_and_nothing_after_it(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server)
    await world.load("thing", ROW)
    assert await found(world) == 1.0
    server.process.signal(signal.SIGSTOP)
    under_way = [asyncio.create_task(found(world)) for _ in range(5)]
    await asyncio.sleep(0.05)
    server.kill()
    outcomes = await asyncio.gather(*under_way, return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes), outcomes
    server.start()
    await world.load("thing", {"id": ["x"], "a": [2.0]})
    assert await found(world) == 2.0


@pytest.mark.alone
async def test_a_store_that_stands_still_costs_no_more_than_the_deadline(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server)
    await world.load("thing", ROW)
    assert await found(world) == 1.0
    server.process.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await found(world, deadline_ms=100)
        assert 0.09 < time.monotonic() - began < 5
        # Whoever waits behind it is told as soon as a PING finds out.
        waiting = asyncio.create_task(found(world, deadline_ms=60_000))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="did not answer"):
            await world.store.ping(0.1)
        with pytest.raises(Unavailable, match="no answer to PING"):
            await waiting
    finally:
        server.process.signal(signal.SIGCONT)
    assert await found(world) == 1.0


async def test_a_lookup_that_is_cancelled_does_not_disturb_the_others(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server)
    table = {"id": [f"k{n}" for n in range(100)], "a": [float(n) for n in range(100)]}
    await world.load("thing", table)
    await world.look_up({"thing.id": ["k0"]})
    lookups = [asyncio.create_task(world.look_up({"thing.id": [f"k{n}"]})) for n in range(100)]
    await asyncio.sleep(0)
    for lookup in lookups[::3]:
        lookup.cancel()
    outcomes = await asyncio.gather(*lookups, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if number % 3 == 0:
            assert isinstance(outcome, asyncio.CancelledError)
        else:
            assert not isinstance(outcome, BaseException)
            assert outcome[1].columns["thing.a"].tolist() == [float(number)]


async def test_a_store_that_wants_a_password_is_unavailable(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    world = make_world(thing(), server=start_redis())
    await world.load("thing", ROW)
    with world.redis() as client:
        client.config_set("requirepass", "secret")
    with pytest.raises(Unavailable, match="cannot be reached: Authentication"):
        await found(world)
    store = RedisFeatureStore(
        world.url.replace("?db=0", "?db=0&password=secret"), prefix="test", connections=1
    )
    rows = await store.read([StaticRead("thing", ["x"])])
    assert rows[0].rows[0] is not None
    await store.close()


async def test_commands_that_redis_refuses_are_unavailable_by_their_code(
    start_redis: StartRedis,
) -> None:
    link = RedisLink(start_redis().url, client_name="tests")
    await link.call("SET", "text", "x")
    with pytest.raises(Unavailable, match="refused: WRONGTYPE"):
        await link.call("LPUSH", "text", "y")
    assert await link.call("GET", "text") == b"x"
    await link.close()


async def test_after_closing_calls_connect_anew_and_waiting_ones_fail(
    start_redis: StartRedis,
) -> None:
    server = start_redis()
    link = RedisLink(server.url, client_name="tests")
    assert await link.call("PING") == b"PONG"
    server.process.signal(signal.SIGSTOP)
    waiting = asyncio.create_task(link.call("PING"))
    await asyncio.sleep(0.01)
    await link.close()
    with pytest.raises(RedisUnreachable, match="closed"):
        await waiting
    server.process.signal(signal.SIGCONT)
    assert await link.call("PING") == b"PONG"
    await link.close()


async def test_concurrent_calls_share_one_connection(start_redis: StartRedis) -> None:
    server = start_redis()
    link = RedisLink(server.url, client_name="shared")
    replies = await asyncio.gather(*[link.call("ECHO", f"{n}") for n in range(200)])
    assert replies == [f"{n}".encode() for n in range(200)]
    clients = await link.call("CLIENT", "LIST")
    assert clients.count(b"name=shared") == 1
    await link.close()


async def test_calls_that_find_no_server_share_its_absence(start_redis: StartRedis) -> None:
    server = start_redis()
    server.kill()
    link = RedisLink(server.url, client_name="tests")
    outcomes = await asyncio.gather(*[link.call("PING") for _ in range(50)], return_exceptions=True)
    assert all(isinstance(outcome, RedisUnreachable) for outcome in outcomes)


@pytest.mark.parametrize("url", ["http://nowhere", "redis://host:port/0", "redis://h/0?nope=1"])
def test_an_unusable_url_is_refused_without_telling_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        RedisLink(url.replace("://", "://user:hidden@"), client_name="tests")
    assert "hidden" not in str(caught.value)


async def test_a_loading_server_is_unavailable_until_it_has_loaded(
    make_world: MakeWorld, start_redis: StartRedis
) -> None:
    server = start_redis()
    world = make_world(thing(), server=server)
    await world.load("thing", ROW)
    with world.redis() as client:
        # Redis turns to its clients, to answer LOADING, each time it has read 2 MB.
        client.mset({f"filler-{n}": os.urandom(1_000_000) for n in range(20)})
        client.config_set("key-load-delay", 50_000)  # microseconds
        reload = asyncio.create_task(asyncio.to_thread(client.execute_command, "DEBUG", "RELOAD"))

        def says_loading() -> bool:
            with world.redis() as other:
                info = other.info("persistence")
            assert isinstance(info, dict)
            return bool(info["loading"] == 1)

        await asyncio.to_thread(wait_for, says_loading)
        with pytest.raises(Unavailable) as caught:
            await found(world)
        assert caught.value.reason is Reason.FEATURE_STORE_UNAVAILABLE
        await reload
    assert await found(world) == 1.0
