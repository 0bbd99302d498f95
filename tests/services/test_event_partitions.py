"""Partitions of events: their leases, and streams with which something was done by hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.events.partition_leases import PartitionLeases
from tailrace.features.events.stream_entry import StreamNames, entry_of
from tailrace.features.events.stream_source import GROUP
from tailrace.features.redis_link import RedisLink
from tests.support.event_world import (
    CITY_RIDES,
    PREFIX,
    START,
    looked_up,
    ride,
    serve_events,
    until_taken,
    write_event_files,
)

NAMES = StreamNames(PREFIX)
PARTITIONS = 7
LEASE_MS = 5_000


@contextlib.asynccontextmanager
async def linked(server: LocalRedis) -> AsyncIterator[RedisLink]:
    link = RedisLink(server.url, client_name="test")
    try:
        yield link
    finally:
        await link.close()


async def owned(link: RedisLink, consumer: str) -> set[int]:
    """Returns the partitions whose lease is a consumer's."""
    owners = await link.call("MGET", *[NAMES.lease(p) for p in range(PARTITIONS)])
    return {partition for partition, owner in enumerate(owners) if owner == consumer.encode()}


async def until_waiting(link: RedisLink, calls: int) -> None:
    async with asyncio.timeout(30):
        while True:
            if link.waiting == calls:
                return
            await asyncio.sleep(0)


async def test_what_is_let_go_of_while_leases_are_renewed_is_not_held(
    fresh_redis: LocalRedis,
) -> None:
    async with linked(fresh_redis) as link:
        leases = PartitionLeases(link, NAMES, "a", PARTITIONS, LEASE_MS)
        await leases.renew()
        assert leases.held() == set(range(PARTITIONS))
        await link.call("ZADD", NAMES.consumers, time.time_ns() // 1_000_000, "b")
        await leases.renew()
        surplus = leases.surplus()
        assert surplus == {1, 3, 5}
        renewing = asyncio.create_task(leases.renew())
        await until_waiting(link, PARTITIONS)  # it asks for all of them
        await leases.release(surplus)
        await renewing
        assert leases.held() == await owned(link, "a") == {0, 2, 4, 6}


async def test_a_dead_process_loses_its_share_though_the_clock_was_set_back(
    fresh_redis: LocalRedis,
) -> None:
    async with linked(fresh_redis) as link:
        # It was heard of an hour from now, by the clock of then.
        await link.call("ZADD", NAMES.consumers, time.time_ns() // 1_000_000 + 3_600_000, "died")
        leases = PartitionLeases(link, NAMES, "a", PARTITIONS, LEASE_MS)
        await leases.renew()
        assert leases.held() == set(range(PARTITIONS))


async def test_streams_go_on_after_their_group_is_destroyed_and_an_id_is_the_last_of_its_time(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    pipelines = write_event_files(tmp_path, views=[CITY_RIDES])
    stream = NAMES.stream(0)
    async with (
        serve_events(pipelines, fresh_redis, events_partitions=1),
        linked(fresh_redis) as link,
    ):
        for number, entry_id in enumerate(("1704067200000-1", f"1704067200000-{2**64 - 1}", "*")):
            content = entry_of("ride", ride(number, city="x").to_message())
            parts = [part for pair in content.items() for part in pair]
            await link.call("XADD", stream, entry_id, *parts)
            await until_taken(link, 1)
            await link.call("XGROUP", "DESTROY", stream, GROUP)
        assert await link.call("XLEN", NAMES.dead) == 0
    found = await looked_up(fresh_redis, pipelines, START)
    assert found["city-rides", "x"].count("3") == 2, "rides and drivers"
