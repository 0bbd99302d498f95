"""Feeding events to a real event service as time passes in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tailrace.cli.event_feed import EventFeed, EventsRefused
from tailrace.cli.known_events import KnownEvent
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.client import AsyncEventClient
from tests.support.event_world import START, StartEvents, ride, stored_state, write_event_files


def rides(count: int) -> list[KnownEvent]:
    events = [ride(number) for number in range(count)]
    return [KnownEvent(each.event_time, "ride", each) for each in events]


async def test_mesh_has_what_was_known_at_the_instant_and_nothing_else(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    server = start_events(write_event_files(tmp_path), fresh_redis)
    async with AsyncEventClient(server.target) as client:
        feed = EventFeed(client, rides(100))
        await feed.advance(START - timedelta(seconds=1))
        assert feed.sent == 0
        assert stored_state(fresh_redis) == {}
        await feed.advance(START + timedelta(seconds=39))
        assert feed.sent == 40
        after_forty = stored_state(fresh_redis)
        await feed.advance(START + timedelta(seconds=39))
        assert stored_state(fresh_redis) == after_forty
        await feed.advance(START + timedelta(hours=1))
        assert feed.sent == 100
        assert stored_state(fresh_redis) != after_forty
        # Sent by others once more, all of them are there already.
        report = await client.send("ride", [each.event for each in rides(100)])
        assert (report.accepted, report.duplicates) == (0, 100)


async def test_event_that_is_refused_ends_the_replay_with_its_name(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    server = start_events(write_event_files(tmp_path), fresh_redis)
    good, bad = rides(2)
    bad = replace(bad, event=replace(bad.event, fields={"city": "c1"}))
    async with AsyncEventClient(server.target) as client:
        with pytest.raises(EventsRefused, match=r"ride ride-1 was refused: .*driver"):
            await EventFeed(client, [good, bad]).advance(START + timedelta(hours=1))


async def test_service_that_cannot_be_reached_ends_the_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tailrace.cli.event_feed._RETRY_S", 0.1)
    # Nobody can listen on port 0.
    async with AsyncEventClient("127.0.0.1:0") as client:
        with pytest.raises(EventsRefused, match="could not be replayed"):
            await EventFeed(client, rides(1)).advance(START)
