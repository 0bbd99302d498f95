"""Event services and Redis are killed while events come: none is lost or counted twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.client import AsyncEventClient, Event, EventReport
from tailrace.features.events.stream_entry import StreamNames
from tailrace.features.events.stream_producer import StreamProducer
from tailrace.features.redis_link import RedisLink
from tests.support.event_world import (
    CITY_RIDES,
    PREFIX,
    START,
    EventProcess,
    StartEvents,
    looked_up,
    ride,
    serve_events,
    stored_state,
    target_of,
    until_taken,
    write_event_files,
)

EVENTS = 10_000
CITIES = 100
PARTITIONS = 4
KILLS = 3
# Its start takes Python seconds.
SERVICE_KILLS = 2
# How many events further than an interruption's place the sender may go before it is over.
AHEAD = 1000
INSTANTS = [START + timedelta(seconds=after_s) for after_s in (500, EVENTS / 10)]


@dataclass(frozen=True)
class Undisturbed:
    """What is made of the same events where nothing is killed.

    Attributes:
        events: in the order in which they became known: some late, some twice.
        report: what became of them.
        features: of every entity, by instant.
        stored: all that is kept.
    """

    events: list[Event]
    report: EventReport
    features: dict[datetime, dict[tuple[str, str], list[Any]]]
    stored: dict[str, Any]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    server = LocalRedis(log_path=folder / "redis.log")
    server.start()
    try:
        yield asyncio.run(uninterrupted(write_event_files(folder), server, rides()))
    finally:
        server.stop()


def rides() -> list[Event]:
    chance = random.Random(1)
    found: list[Event] = []
    for number in range(EVENTS):
        late_s = chance.choice([0, 0, 0, 0, 30, 400, 900])
        city = f"c{chance.randrange(CITIES)}"
        found.append(ride(number, after_s=number / 10 - late_s, city=city))
        if chance.random() < 0.05:
            found.append(found[chance.randrange(max(0, len(found) - 2000), len(found))])
    return found


async def send(
    target: str,
    events: list[Event] | AsyncIterator[Event],
    on_answer: Callable[[int], None],
) -> EventReport:
    async with AsyncEventClient(target) as client:
        return await client.send(
            "ride",
            events,
            batch_events=100,
            on_answer=lambda report: on_answer(report.total),
            on_problem=lambda problem: None,
        )


async def uninterrupted(pipelines: Path, server: LocalRedis, events: list[Event]) -> Undisturbed:
    async with serve_events(pipelines, server) as service:
        report = await send(target_of(service), events, lambda total: None)
    assert report.duplicates > 100 and report.refused > 50
    features = {instant: await looked_up(server, pipelines, instant) for instant in INSTANTS}
    assert all(len(found) >= CITIES for found in features.values())
    return Undisturbed(events, report, features, stored_state(server))


async def assert_same(
    server: LocalRedis, expected: Undisturbed, pipelines: Path, views: str = ""
) -> None:
    """Compares the features of every entity, at two instants, and all that is stored."""
    for instant, features in expected.features.items():
        wanted = {entity: found for entity, found in features.items() if views in entity[0]}
        assert await looked_up(server, pipelines, instant) == wanted
    kept = {name: content for name, content in expected.stored.items() if views in name}
    assert stored_state(server) == kept


async def send_while(
    service: EventProcess,
    events: list[Event],
    interrupt: Callable[[], Awaitable[None]],
    times: int,
) -> EventReport:
    """Sends events, and interrupts at some places on the way, chosen at random.

    No interruption is so long that all is sent meanwhile: the sender is kept a little ahead.
    """
    places = sorted(random.Random(5).sample(range(500, EVENTS - 2 * AHEAD), times))
    reached = [asyncio.Event() for _ in places]
    over = [asyncio.Event() for _ in places]

    def note(total: int) -> None:
        for place, event in zip(places, reached, strict=True):
            if total >= place:
                event.set()

    async def interrupt_all() -> None:
        for begin, end in zip(reached, over, strict=True):
            await begin.wait()
            await interrupt()
            end.set()

    async def kept_back() -> AsyncIterator[Event]:
        held = {place + AHEAD: end for place, end in zip(places, over, strict=True)}
        for number, event in enumerate(events):
            if number in held:
                await held[number].wait()
            yield event

    interrupting = asyncio.create_task(interrupt_all())
    try:
        report = await send(service.target, kept_back(), note)
        await interrupting
    finally:
        interrupting.cancel()
    return report


async def test_killed_service_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents, undisturbed: Undisturbed
) -> None:
    pipelines, expected = write_event_files(tmp_path), undisturbed.report
    service = start_events(pipelines, fresh_redis)

    async def kill() -> None:
        service.process.kill()
        service.process.launch()
        await asyncio.to_thread(service.process.wait_ready)

    report = await send_while(service, undisturbed.events, kill, SERVICE_KILLS)
    assert report.total == expected.total == len(undisturbed.events)
    assert report.sent_again >= SERVICE_KILLS
    # What was applied before its answer was lost is a duplicate, or late, when it comes again.
    assert report.accepted <= expected.accepted
    await assert_same(fresh_redis, undisturbed, pipelines)


async def test_killed_redis_loses_nothing_that_was_acknowledged(
    tmp_path: Path, durable_redis: LocalRedis, start_events: StartEvents, undisturbed: Undisturbed
) -> None:
    pipelines = write_event_files(tmp_path)
    service = start_events(pipelines, durable_redis, events_durability="always")

    async def kill() -> None:
        await killed(durable_redis)

    report = await send_while(service, undisturbed.events, kill, KILLS)
    assert report.total == len(undisturbed.events)
    assert report.sent_again >= KILLS
    await assert_same(durable_redis, undisturbed, pipelines)


async def test_another_consumer_takes_over_from_one_that_was_killed(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents, undisturbed: Undisturbed
) -> None:
    # One view, whose entities the partitions go by: so that each sees its events in order.
    pipelines = write_event_files(tmp_path, views=[CITY_RIDES])
    settings = {"events_partitions": PARTITIONS, "events_lease_ms": 500, "events_read_count": 100}
    consumers = [start_events(pipelines, fresh_redis, **settings) for _ in range(2)]
    link = RedisLink(fresh_redis.url, client_name="test")
    names = StreamNames(PREFIX)
    try:
        half = len(undisturbed.events) // 2
        await produce(link, undisturbed.events[:half])
        await until_shared(link, names)
        consumers[0].process.kill()
        await produce(link, undisturbed.events[half:])
        await until_taken(link, PARTITIONS)
        assert await link.call("XLEN", names.dead) > 100
    finally:
        await link.close()
    await assert_same(fresh_redis, undisturbed, pipelines, CITY_RIDES["view"])


async def test_killed_redis_loses_nothing_that_is_in_a_stream(
    tmp_path: Path, durable_redis: LocalRedis, start_events: StartEvents, undisturbed: Undisturbed
) -> None:
    pipelines = write_event_files(tmp_path, views=[CITY_RIDES])
    link = RedisLink(durable_redis.url, client_name="test")
    try:
        # All of it first: so that it is the reader that Redis is taken from.
        await produce(link, undisturbed.events)
        settings = {"events_partitions": PARTITIONS, "events_read_count": 100}
        start_events(pipelines, durable_redis, events_durability="always", **settings)
        for kills in range(1, KILLS + 1):
            await until_left(link, len(undisturbed.events) * (KILLS + 1 - kills) // (KILLS + 1))
            await killed(durable_redis)
        await until_taken(link, PARTITIONS)
    finally:
        await link.close()
    await assert_same(durable_redis, undisturbed, pipelines, CITY_RIDES["view"])


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[LocalRedis]:
    """A Redis that keeps on disk what it has acknowledged."""
    kept = tmp_path / "kept"
    kept.mkdir()
    server = LocalRedis(
        log_path=tmp_path / "kept.log", data_dir=kept, append_only=True, append_fsync="always"
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def killed(server: LocalRedis) -> None:
    """Kills Redis, and returns once it is there again with what it has kept.

    Where its log ended within a transaction, Redis leaves the beginning of that in the log, and
    takes what follows for the rest when it is started once more. So the log is written anew, as the
    documentation says. See https://github.com/valkey-io/valkey/pull/4342 .
    """
    server.kill()
    server.launch()
    await asyncio.to_thread(server.wait_ready)
    link = RedisLink(server.url, client_name="test")
    await until_told(link, b"loading:0")
    await link.call("BGREWRITEAOF")
    await until_told(link, b"aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0")
    await link.close()


async def until_told(link: RedisLink, lines: bytes) -> None:
    """Returns once Redis tells these lines of its persistence."""
    async with asyncio.timeout(30):
        while True:
            if b"\r\n" + lines + b"\r\n" in await link.call("INFO", "persistence"):
                return
            await asyncio.sleep(0.01)


async def produce(link: RedisLink, events: list[Event]) -> None:
    """Puts events into their partitions."""
    producer = StreamProducer(link, PREFIX, PARTITIONS)
    keyed = [(str(each.fields["city"]), each.to_message()) for each in events]
    for start in range(0, len(keyed), 500):
        await producer.send("ride", keyed[start : start + 500])


async def until_left(link: RedisLink, entries: int) -> None:
    """Returns once no more than so many entries are left in all partitions together."""
    names = StreamNames(PREFIX)
    async with asyncio.timeout(30):
        while True:
            lengths = [await link.call("XLEN", names.stream(p)) for p in range(PARTITIONS)]
            if sum(lengths) <= entries:
                return
            await asyncio.sleep(0.005)


async def until_shared(link: RedisLink, names: StreamNames) -> None:
    """Returns once two processes hold partitions."""
    async with asyncio.timeout(30):
        while True:
            owners = await link.call("MGET", *[names.lease(p) for p in range(PARTITIONS)])
            if None not in owners and len(set(owners)) == 2:
                return
            await asyncio.sleep(0.02)
