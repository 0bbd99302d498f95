"""A stream whose caller does not read its answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.events.app import event_parts
from tailrace.features.events.event_stream import MAX_ANSWER_BYTES, EventStream
from tailrace.features.events.room import Room
from tailrace.runtime.config import EventsSettings, load_settings
from tailrace.v1.event_service_pb2 import IngestEventsRequest, IngestEventsResponse
from tests.support.event_world import ride, write_event_files


async def test_nothing_more_is_read_of_who_does_not_read_many_refusals(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    settings = load_settings(
        EventsSettings,
        pipelines_dir=write_event_files(tmp_path),
        feature_redis_url=fresh_redis.url,
        events_max_unanswered=10_000,
        events_durability="none",
    )
    events = [ride(number, city="a name that is too long").to_message() for number in range(1000)]
    read = 0
    stalled, at_rest = asyncio.Event(), asyncio.Event()
    answers: list[IngestEventsResponse] = []

    async def next_batch() -> IngestEventsRequest:
        nonlocal read
        read += 1
        # The answers to those before it are made meanwhile.
        for _ in range(10):
            await asyncio.sleep(0)
        return IngestEventsRequest(batch=read, event="ride", events=events)

    async def never_taken(answer: IngestEventsResponse) -> None:
        answers.append(answer)
        stalled.set()
        await at_rest.wait()

    room = Room(settings.events_max_bytes)
    async with event_parts(settings) as parts:
        parts.catalog.load()
        stream = EventStream(parts.intake, room, settings, next_batch, never_taken, asyncio.Event())
        running = asyncio.create_task(stream.run())
        await stalled.wait()
        seen = -1
        async with asyncio.timeout(30):
            while True:
                for _ in range(1000):
                    await asyncio.sleep(0)
                if read == seen:
                    break
                seen = read
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert len(answers[0].problems) == 1000
    # Those whose answers fill it, and one that is on its way.
    assert 1 < read <= MAX_ANSWER_BYTES // answers[0].ByteSize() + 3
    assert room.taken == 0
