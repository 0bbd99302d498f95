"""Event services and Redis are killed while events come: none is lost or counted twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

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
    stored_state,
    until_taken,
    write_event_files,
)
from tests.support.redis_fixtures import StartRedis

EVENTS = 20_000
PARTITIONS = 4
KILLS = 3


def rides(seed: int) -> list[Event]:
    """Returns rides in the order in which they became known: some late, some twice."""
    chance = random.Random(seed)
    found: list[Event] = []
    for number in range(EVENTS):
        late_s = chance.choice([0, 0, 0, 0, 30, 400, 900])
        found.append(ride(number, after_s=number / 10 - late_s, city=f"c{chance.randrange(200)}"))
        if chance.random() < 0.05:
            found.append(found[chance.randrange(max(0, len(found) - 2000), len(found))])
    return found


async def send(target: str, events: list[Event], on_answer: Callable[[int], None]) -> EventReport:
    async with AsyncEventClient(target) as client:
        return await client.send(
            "ride",
            events,
            batch_events=100,
            on_answer=lambda report: on_answer(report.total),
            on_problem=lambda problem: None,
        )


async def assert_same(server: LocalRedis, expected: LocalRedis, pipelines: Path) -> None:
    """Compares the features of every entity, at two instants, and all that is stored."""
    for after_s in (700, EVENTS / 10):
        instant = START + timedelta(seconds=after_s)
        features = await looked_up(expected, pipelines, instant)
        assert len(features) >= 200
        assert await looked_up(server, pipelines, instant) == features
    assert stored_state(server) == stored_state(expected)


async def uninterrupted(
    start_events: StartEvents, pipelines: Path, server: LocalRedis, events: list[Event]
) -> EventReport:
    service = start_events(pipelines, server)
    report = await send(service.target, events, lambda total: None)
    service.process.stop()
    return report


async def send_while(
    service: EventProcess, events: list[Event], interrupt: Callable[[], Awaitable[None]]
) -> EventReport:
    """Sends events, and interrupts at some places on the way, chosen at random."""
    places = sorted(random.Random(5).sample(range(1_000, EVENTS - 1_000), KILLS))
    reached = asyncio.Event()

    def note(total: int) -> None:
        if places and total >= places[0]:
            del places[0]
            reached.set()

    async def interrupt_all() -> None:
        for _ in range(KILLS):
            await reached.wait()
            reached.clear()
            await interrupt()

    interrupting = asyncio.create_task(interrupt_all())
    try:
        report = await send(service.target, events, note)
        await interrupting
    finally:
        interrupting.cancel()
    return report


async def test_killed_service_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, start_redis: StartRedis, start_events: StartEvents
) -> None:
    pipelines, events = write_event_files(tmp_path), rides(1)
    undisturbed, disturbed = start_redis(), start_redis()
    expected = await uninterrupted(start_events, pipelines, undisturbed, events)
    service = start_events(pipelines, disturbed)

    async def kill() -> None:
        service.process.kill()
        service.process.launch()
        await asyncio.to_thread(service.process.wait_ready)

    report = await send_while(service, events, kill)
    assert report.total == expected.total == len(events)
    assert report.sent_again >= KILLS
    assert expected.duplicates > 100 and expected.refused > 100
    # What was applied before its answer was lost is a duplicate, or late, when it comes again.
    assert report.accepted <= expected.accepted
    await assert_same(disturbed, undisturbed, pipelines)


async def test_killed_redis_loses_nothing_that_was_acknowledged(
    tmp_path: Path, start_redis: StartRedis, start_events: StartEvents
) -> None:
    pipelines, events = write_event_files(tmp_path), rides(2)
    undisturbed = start_redis()
    await uninterrupted(start_events, pipelines, undisturbed, events)
    kept = tmp_path / "kept"
    kept.mkdir()
    disturbed = LocalRedis(
        log_path=tmp_path / "kept.log", data_dir=kept, append_only=True, append_fsync="always"
    )
    disturbed.start()
    try:
        service = start_events(pipelines, disturbed, events_durability="always")

        async def kill() -> None:
            disturbed.kill()
            disturbed.launch()
            await asyncio.to_thread(disturbed.wait_ready)

        report = await send_while(service, events, kill)
        assert report.total == len(events)
        assert report.sent_again >= KILLS
        await assert_same(disturbed, undisturbed, pipelines)
    finally:
        disturbed.stop()


async def test_another_consumer_takes_over_from_one_that_was_killed(
    tmp_path: Path,
    start_redis: StartRedis,
    start_events: StartEvents,
) -> None:
    # One view, whose entities the partitions go by: so that each sees its events in order.
    pipelines, events = write_event_files(tmp_path, views=[CITY_RIDES]), rides(3)
    undisturbed, streams_redis = start_redis(), start_redis()
    await uninterrupted(start_events, pipelines, undisturbed, events)
    settings = {"events_partitions": PARTITIONS, "events_lease_ms": 500, "events_read_count": 100}
    consumers = [start_events(pipelines, streams_redis, **settings) for _ in range(2)]
    link = RedisLink(streams_redis.url, client_name="test")
    names = StreamNames(PREFIX)
    try:
        producer = StreamProducer(link, PREFIX, PARTITIONS)
        keyed = [(str(each.fields["city"]), each.to_message()) for each in events]
        half = len(keyed) // 2
        for start in range(0, half, 500):
            await producer.send("ride", keyed[start : start + 500])
        await until_shared(link, names)
        consumers[0].process.kill()
        for start in range(half, len(keyed), 500):
            await producer.send("ride", keyed[start : start + 500])
        await until_taken(link, PARTITIONS)
        late = sum(1 for _ in await link.call("XRANGE", names.dead, "-", "+"))
        assert late > 100
    finally:
        await link.close()
    await assert_same(streams_redis, undisturbed, pipelines)


async def until_shared(link: RedisLink, names: StreamNames) -> None:
    """Returns once two processes hold partitions."""
    async with asyncio.timeout(10):
        while True:
            owners = await link.call("MGET", *[names.lease(p) for p in range(PARTITIONS)])
            if None not in owners and len(set(owners)) == 2:
                return
            await asyncio.sleep(0.02)
