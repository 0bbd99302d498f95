"""The event service over gRPC: what it takes in, what it refuses, and how streams end."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.client import (
    AsyncEventClient,
    Event,
    EventClient,
    EventProblem,
    InvalidRequest,
    PredictionError,
    Unavailable,
)
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.error_mapping import error_of
from tailrace.runtime.errors import Reason
from tailrace.v1 import event_service_pb2
from tailrace.v1.event_service_pb2_grpc import EventServiceStub
from tests.support.event_world import (
    CITY_RIDES,
    DRIVER_RIDES,
    PREFIX,
    RIDE,
    StartEvents,
    ride,
    serve_events,
    stored_state,
    target_of,
    until_taken,
    write_event_files,
)
from tests.support.redis_fixtures import StartRedis
from tests.support.waiting import wait_for


def told(problem: EventProblem) -> tuple[int, str, str, str]:
    return problem.place, problem.view, problem.reason, problem.field


async def answer(call: Any) -> event_service_pb2.IngestEventsResponse:
    """Returns the next answer of a stream that has not ended."""
    found: event_service_pb2.IngestEventsResponse = await call.read()
    return found


def batch(number: int, *events: Event, event_type: str = "ride") -> Any:
    return event_service_pb2.IngestEventsRequest(
        batch=number, event=event_type, events=[event.to_message() for event in events]
    )


async def test_bad_events_are_told_and_their_neighbours_taken_in(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    async with serve_events(write_event_files(tmp_path), fresh_redis) as service:
        far = dataclasses.replace(ride(5), known_at=ride(1).event_time)
        events = [
            ride(0),
            ride(1, city=None),
            ride(2, citty="x"),
            ride(3, fare=float("nan")),
            ride(4, fare=float("-inf")),
            ride(5, driver=2**53 + 1),
            ride(6, city="a city with a long name"),
            ride(7, driver="7"),
            dataclasses.replace(ride(8), id=""),
            dataclasses.replace(ride(9), id="é" * 129),
            dataclasses.replace(far, event_time=ride(200).event_time),
            ride(10, fare=3),
            ride(11, fare=[1.0]),
            ride(0),
        ]
        async with AsyncEventClient(target_of(service)) as client:
            report = await client.send("ride", events)
        assert (report.accepted, report.duplicates, report.refused) == (2, 1, 11)
        assert [told(problem) for problem in sorted(report.problems, key=lambda p: p.place)] == [
            (1, "", "INVALID_EVENT", "fields.city"),
            (2, "", "INVALID_EVENT", "fields.citty"),
            (3, "", "INVALID_EVENT", "fields.fare"),
            (4, "", "INVALID_EVENT", "fields.fare"),
            (5, "", "INVALID_EVENT", "fields.driver"),
            (6, "", "INVALID_EVENT", "fields.city"),
            (7, "", "INVALID_EVENT", "fields.driver"),
            (8, "", "INVALID_EVENT", "id"),
            (9, "", "INVALID_EVENT", "id"),
            (10, "", "EVENT_IN_FUTURE", "event_time"),
            (12, "", "INVALID_FIELD", "fields.fare"),
        ]
        assert "did you mean 'city'?" in report.problems[2].message


async def test_event_late_for_one_view_counts_in_the_other(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    async with serve_events(write_event_files(tmp_path), fresh_redis) as service:
        events = [
            ride(1, after_s=1000, city="x", driver=1),
            ride(2, after_s=100, city="x", driver=1),
        ]
        async with AsyncEventClient(target_of(service)) as client:
            report = await client.send("ride", events)
        assert (report.accepted, report.refused) == (2, 0)
        assert [told(p) for p in report.problems] == [(1, "city-rides", "EVENT_LATE", "event_time")]


async def test_answers_come_in_order_and_unknown_types_are_refused(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    async with serve_events(
        write_event_files(tmp_path), fresh_redis, events_max_unanswered=2
    ) as service:
        async with grpc.aio.insecure_channel(target_of(service)) as channel:
            call = EventServiceStub(channel).IngestEvents()
            for number in range(20):
                event_type = "ryde" if number == 7 else "ride"
                await call.write(batch(100 - number, ride(number), event_type=event_type))
            await call.done_writing()
            answers = [answer async for answer in call]
        assert [answer.batch for answer in answers] == [100 - number for number in range(20)]
        assert [answer.accepted for answer in answers] == [int(n != 7) for n in range(20)]
        (problem,) = answers[7].problems
        assert int(problem.reason) == Reason.EVENT_TYPE_NOT_FOUND
        assert "did you mean 'ride'?" in problem.message


async def test_batch_of_too_many_events_ends_the_stream_after_those_before_it(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    async with serve_events(write_event_files(tmp_path), fresh_redis, max_batch_rows=2) as service:
        async with grpc.aio.insecure_channel(target_of(service)) as channel:
            call = EventServiceStub(channel).IngestEvents()
            await call.write(batch(1, ride(1)))
            await call.write(batch(2, ride(2), ride(3), ride(4)))
            assert (await answer(call)).accepted == 1
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call.read()
        assert error_of(failure.value).reason is Reason.LIMIT_EXCEEDED


async def test_silent_stream_is_ended(tmp_path: Path, fresh_redis: LocalRedis) -> None:
    async with serve_events(
        write_event_files(tmp_path), fresh_redis, events_idle_timeout_ms=50
    ) as service:
        async with grpc.aio.insecure_channel(target_of(service)) as channel:
            call = EventServiceStub(channel).IngestEvents()
            await call.write(batch(1, ride(1)))
            assert (await answer(call)).accepted == 1
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call.read()
        assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_sigterm_answers_what_was_read_and_ends_with_draining(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis)
    async with grpc.aio.insecure_channel(service.target) as channel:
        call = EventServiceStub(channel).IngestEvents()
        await call.write(batch(1, ride(1)))
        assert (await answer(call)).batch == 1
        stopping = asyncio.create_task(asyncio.to_thread(service.process.stop))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call.read()
        await stopping
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error_of(failure.value).reason is Reason.DRAINING


async def test_redis_that_is_gone_ends_the_stream_and_sending_goes_on_when_it_is_back(
    tmp_path: Path, start_redis: StartRedis
) -> None:
    server = start_redis()
    async with serve_events(write_event_files(tmp_path), server) as service:
        server.kill()
        async with AsyncEventClient(target_of(service)) as client:
            with pytest.raises(Unavailable) as failure:
                await client.send("ride", [ride(1), ride(2)], retry_s=0.05)
            assert failure.value.unanswered == {0: "ride-1", 1: "ride-2"}
            sending = asyncio.create_task(client.send("ride", [ride(1), ride(2)]))
            server.launch()
            await asyncio.to_thread(server.wait_ready)
            report = await sending
            assert report.accepted + report.duplicates == 2


async def test_redis_that_does_not_answer_ends_the_stream(
    tmp_path: Path, start_redis: StartRedis
) -> None:
    server = start_redis()
    async with serve_events(
        write_event_files(tmp_path), server, events_apply_timeout_ms=200
    ) as service:
        async with AsyncEventClient(target_of(service)) as client:
            assert (await client.send("ride", [ride(1)])).accepted == 1
            os.kill(server.process.pid, signal.SIGSTOP)
            try:
                with pytest.raises(Unavailable) as failure:
                    await client.send("ride", [ride(2)], retry_s=0.05)
            finally:
                os.kill(server.process.pid, signal.SIGCONT)
            assert failure.value.reason == "FEATURE_STORE_UNAVAILABLE"
            report = await client.send("ride", [ride(2)])
        assert report.accepted + report.duplicates == 1


async def test_full_redis_ends_the_stream_and_acknowledges_nothing(
    tmp_path: Path, start_redis: StartRedis
) -> None:
    server = start_redis(max_memory_bytes=1)
    async with serve_events(write_event_files(tmp_path), server) as service:
        async with AsyncEventClient(target_of(service)) as client:
            with pytest.raises(Unavailable) as failure:
                await client.send("ride", [ride(1)], retry_s=0.05)
        assert "OOM" in failure.value.message


@pytest.mark.parametrize(
    ("durability", "options", "message"),
    [
        ("always", {"append_only": True}, "appendfsync everysec"),
        ("everysec", {}, "appendonly no"),
        ("everysec", {"append_only": True, "max_memory_policy": "allkeys-lru"}, "allkeys-lru"),
        ("everysec", {"append_only": True}, None),
    ],
)
async def test_acknowledges_only_what_is_as_durable_as_was_asked_for(
    tmp_path: Path,
    start_redis: StartRedis,
    durability: str,
    options: dict[str, Any],
    message: str | None,
) -> None:
    (tmp_path / "kept").mkdir()
    server = start_redis(data_dir=tmp_path / "kept", **options)
    async with serve_events(
        write_event_files(tmp_path), server, events_durability=durability
    ) as service:
        async with AsyncEventClient(target_of(service)) as client:
            if message is None:
                assert (await client.send("ride", [ride(1)])).accepted == 1
                return
            with pytest.raises(Unavailable) as failure:
                await client.send("ride", [ride(1)], retry_s=0.05)
        assert message in failure.value.message
        assert not stored_state(server)


async def test_changed_files_are_served_and_a_changed_view_needs_a_new_generation(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    pipelines = write_event_files(tmp_path)
    async with serve_events(pipelines, fresh_redis) as service:
        other = {"event": "tip", "fields": {"city": {"type": "string"}}}
        changed = {**CITY_RIDES, "source": {**CITY_RIDES["source"], "tile": "2m"}}
        async with AsyncEventClient(target_of(service)) as client:
            assert (await client.send("ride", [ride(1)])).accepted == 1
            write_event_files(tmp_path, [RIDE, other], [changed, DRIVER_RIDES])
            tip = dataclasses.replace(ride(1), fields={"city": "x"})
            async with asyncio.timeout(30):
                while True:
                    if (await client.send("tip", [tip])).accepted:
                        break
                    await asyncio.sleep(0.02)
            report = await client.send("ride", [ride(2)])
            assert report.accepted == 1
            assert [told(problem)[:3] for problem in report.problems] == [
                (0, "city-rides", "SCHEMA_CHANGED")
            ]
            (tmp_path / "features" / "city-rides.yaml").write_text("view: [")
            broken = (await client.send("ride", [ride(3)])).problems
            assert [problem.reason for problem in broken] == ["SCHEMA_CHANGED"]


async def test_corrupt_entity_leaves_its_neighbours_be(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    async with serve_events(
        write_event_files(tmp_path, views=[CITY_RIDES]), fresh_redis
    ) as service:
        async with AsyncEventClient(target_of(service)) as client:
            await client.send("ride", [ride(1, city="a"), ride(2, city="b")])
            link = RedisLink(fresh_redis.url, client_name="test")
            await link.call("SET", f"{PREFIX}:fw:{{city-rides:1:a}}", "nonsense")
            await link.close()
            report = await client.send("ride", [ride(3, city="a"), ride(4, city="b")])
        assert (report.accepted, report.duplicates, report.refused) == (1, 0, 1)
        assert [told(problem)[:3] for problem in report.problems] == [
            (0, "city-rides", "FEATURES_CORRUPT")
        ]


async def test_streams_that_share_little_room_all_get_through(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    pipelines = write_event_files(tmp_path, views=[CITY_RIDES])
    async with serve_events(pipelines, fresh_redis, events_max_bytes=1) as service:

        async def send(first: int) -> int:
            events = [ride(number) for number in range(first, first + 40)]
            async with AsyncEventClient(target_of(service)) as client:
                return (await client.send("ride", events, batch_events=4)).accepted

        async with asyncio.timeout(30):
            assert await asyncio.gather(*[send(40 * each) for each in range(8)]) == [40] * 8


async def test_gibberish_ends_the_stream_with_invalid_argument(
    tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    async with serve_events(write_event_files(tmp_path), fresh_redis) as service:
        async with grpc.aio.insecure_channel(target_of(service)) as channel:
            method: Any = channel.stream_stream("/tailrace.v1.EventService/IngestEvents")
            call = method()
            await call.write(b"\xff\xff\xff")
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call.read()
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_sync_client_sends_as_the_async_one_does(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis)
    totals: list[int] = []
    with EventClient(service.target) as client:
        report = client.send(
            "ride",
            (ride(number) for number in range(1000)),
            batch_events=64,
            on_answer=lambda report: totals.append(report.total),
        )
        assert (report.accepted, report.refused) == (1000, 0)
        assert totals == [*range(64, 1000, 64), 1000]
        assert client.send("ride", []).total == 0
        service.process.kill()
        with pytest.raises(Unavailable) as failure:
            client.send("ride", [ride(1)], retry_s=0.05)
    assert failure.value.unanswered == {0: "ride-1"}


def test_sender_that_fails_has_what_it_sent_acknowledged(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis)
    totals: list[int] = []

    def rides() -> Any:
        yield from (ride(number) for number in range(10))
        raise KeyError("the source broke")

    with EventClient(service.target) as client, pytest.raises(KeyError):
        client.send("ride", rides(), on_answer=lambda report: totals.append(report.total))
    assert totals[-1] == 10


def test_sync_client_sends_what_is_at_hand_while_its_source_waits(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis)
    acknowledged = threading.Semaphore(0)

    def rides() -> Iterator[Event]:
        for number in range(3):
            yield ride(number)
            # Of a source that makes its next event of what became of the last one.
            assert acknowledged.acquire(timeout=10), f"ride {number} was not sent"

    with EventClient(service.target) as client:
        report = client.send("ride", rides(), on_answer=lambda _: acknowledged.release())
    assert report.accepted == 3


async def test_stream_entries_that_are_no_events_are_kept_with_their_reason(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    start_events(write_event_files(tmp_path), fresh_redis, events_partitions=1, events_lease_ms=500)
    link = RedisLink(fresh_redis.url, client_name="test")
    stream, good = f"{PREFIX}:events:0", '{"city": "x", "driver": 1, "ordered_at": null}'
    instant = "2024-01-01T00:00:00Z"
    entries: list[list[str | bytes]] = [
        ["event", "ride", "id", "1", "event_time", instant, "fields", good],
        ["event", "ryde", "id", "2", "event_time", instant, "fields", good],
        ["event", "ride", "data", b"\xff\xff"],
        ["event", "ride", "id", "4", "event_time", "yesterday", "fields", good],
        ["event", "ride", "id", "5", "event_time", instant, "fields", "[1]"],
        ["event", "ride", "id", "6", "event_time", instant, "fields", '{"city": "x"}'],
        ["nothing", "at all"],
        ["event", "ride", "data", ride(8).to_message().SerializeToString()],
    ]
    try:
        for entry in entries:
            await link.call("XADD", stream, "*", *entry)
        await until_taken(link, 1)
        dead = await link.call("XRANGE", f"{PREFIX}:events:dead", "-", "+")
        pending = await link.call("XPENDING", stream, "tailrace-events")
    finally:
        await link.close()
    kept = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in dead]
    ids = [each.get(b"entry.id") for each in kept]
    assert sorted(map(str, ids)) == sorted(map(str, [b"2", None, b"4", b"5", b"6", None]))
    reasons = b" ".join(each[b"problems"] for each in kept)
    assert b"EVENT_TYPE_NOT_FOUND" in reasons and b"fields.driver" in reasons
    assert pending[0] == 0
    assert len([name for name in stored_state(fresh_redis) if "city-rides" in name]) >= 2


async def test_partitions_move_as_services_come_and_go(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    pipelines = write_event_files(tmp_path)
    settings = {"events_partitions": 4, "events_lease_ms": 400}
    first = start_events(pipelines, fresh_redis, **settings)
    link = RedisLink(fresh_redis.url, client_name="test")

    async def owners(count: int) -> None:
        async with asyncio.timeout(30):
            while True:
                found = await link.call("MGET", *[f"{PREFIX}:events:{p}:lease" for p in range(4)])
                if None not in found and len(set(found)) == count:
                    return
                await asyncio.sleep(0.02)

    try:
        await owners(1)
        second = start_events(pipelines, fresh_redis, **settings)
        await owners(2)
        await asyncio.to_thread(first.process.stop)
        # Let go of, and not run out.
        assert await link.call("ZCARD", f"{PREFIX}:events:consumers") == 1
        await owners(1)
        await asyncio.to_thread(second.process.stop)
        assert await link.call("EXISTS", f"{PREFIX}:events:consumers") == 0
    finally:
        await link.close()


def test_events_that_cannot_be_sent_are_refused_by_the_client() -> None:
    with pytest.raises(InvalidRequest):
        dataclasses.replace(
            ride(1), event_time=ride(1).event_time.replace(tzinfo=None)
        ).to_message()


def test_errors_tell_what_is_not_acknowledged(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis, max_batch_rows=10)
    with EventClient(service.target) as client, pytest.raises(PredictionError) as failure:
        client.send("ride", [ride(number) for number in range(30)], batch_events=20)
    assert failure.value.reason == "LIMIT_EXCEEDED"
    # How much more was taken meanwhile is chance.
    assert sorted(failure.value.unanswered)[:20] == list(range(20))
    wait_for(lambda: not stored_state(fresh_redis))
