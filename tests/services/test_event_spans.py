"""The spans of events: by gRPC, and from Redis streams whose entries name their producers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from typer.testing import CliRunner

from tailrace.cli.events import app
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.client.async_event_client import AsyncEventClient
from tailrace.client.sync_event_client import EventClient
from tailrace.features.events.event_span import MAX_LINKS, entries_span, producers_of
from tailrace.features.events.stream_entry import StreamNames
from tailrace.features.events.stream_producer import StreamProducer
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.errors import Code
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import SpanKind
from tailrace.runtime.tracing.trace_context import TraceContext, new_trace
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.v1.event_service_pb2 import Event as EventMessage
from tests.support.event_world import (
    PREFIX,
    ride,
    serve_events,
    target_of,
    until_taken,
    write_event_files,
)
from tests.support.told_spans import told_spans

TAKEN = {names.RPC_SYSTEM: "grpc", names.RPC_STATUS: "OK", names.EVENT: "ride"}


async def test_each_batch_of_a_call_in_the_sample_has_a_span(
    fresh_redis: LocalRedis, tmp_path: Path
) -> None:
    caller = new_trace(sampled=True)
    rides = [ride(number) for number in range(10)]
    pipelines = write_event_files(tmp_path)
    with told_spans() as told:
        async with (
            serve_events(pipelines, fresh_redis) as server,
            AsyncEventClient(target_of(server)) as client,
        ):
            await client.send("ride", rides[:3])
            assert told.spans == []
            await client.send("ride", rides, batch_events=4, traceparent=caller.traceparent)
    assert {span.name for span in told.spans} == {"apply events"}
    assert {span.kind for span in told.spans} == {SpanKind.SERVER}
    assert {span.context.parent_id for span in told.spans} == {caller.span_id}
    assert sum(int(str(span.attributes[names.EVENTS])) for span in told.spans) == 10
    for span in told.spans:
        assert TAKEN.items() <= span.attributes.items()
        assert span.attributes[names.REFUSED] == 0


async def test_other_clients_name_the_span_too(fresh_redis: LocalRedis, tmp_path: Path) -> None:
    threads, command = new_trace(sampled=True), new_trace(sampled=True)
    pipelines = write_event_files(tmp_path)
    file = tmp_path / "rides.ndjson"
    line = {"id": "a", "event_time": "2024-01-01T00:00:00Z", "city": "c", "driver": 1}
    file.write_text(json.dumps(line) + "\n")
    with told_spans() as told:
        async with serve_events(pipelines, fresh_redis) as server:
            target = target_of(server)

            def send() -> None:
                with EventClient(target) as client:
                    client.send("ride", [ride(1)], traceparent=threads.traceparent)

            await asyncio.to_thread(send)
            arguments = ["--target", target, "--events-dir", str(tmp_path / "events")]
            status, output = await asyncio.to_thread(
                _send, file, [*arguments, "--traceparent", command.traceparent]
            )
            assert status == 0, output
    assert [span.context.parent_id for span in told.spans] == [threads.span_id, command.span_id]


def _send(file: Path, arguments: list[str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "tailrace.cli", "events", "send"]
    command += ["ride", "--file", str(file)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_command_refuses_what_is_no_traceparent(tmp_path: Path) -> None:
    arguments = ["send", "ride", "--file", str(tmp_path / "any"), "--traceparent", "00-1-2-01"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "expected a W3C traceparent" in done.output


async def test_entries_of_a_stream_have_a_span_that_links_to_their_producers(
    fresh_redis: LocalRedis, tmp_path: Path
) -> None:
    producers = [new_trace(sampled=True) for _ in range(3)]
    pipelines = write_event_files(tmp_path)
    link = RedisLink(fresh_redis.url, client_name="test")
    producer = StreamProducer(link, PREFIX, 1)
    for number, place in enumerate([*producers, producers[0], new_trace(), None]):
        event = EventMessage(id=f"e{number}")
        event.event_time.FromDatetime(ride(number).event_time)
        event.fields["city"].string_value = "c"
        event.fields["driver"].int64_value = number
        traceparent = place.traceparent if place is not None else ""
        await producer.send("ride", [("c", event)], traceparent=traceparent)
    # One that no view takes in, and one that names nothing.
    stream = StreamNames(PREFIX).stream(0)
    await link.call("XADD", stream, "*", "event", "rid", "traceparent", b"\xff")
    with told_spans() as told:
        async with serve_events(pipelines, fresh_redis, events_partitions=1):
            await until_taken(link, 1)
    await link.close()
    span = told.one("apply events")
    assert (span.kind, span.code) == (SpanKind.CONSUMER, Code.OK)
    assert (span.context.trace_id, span.context.parent_id) == (
        producers[0].trace_id,
        producers[0].span_id,
    )
    assert [each.span_id for each in span.links] == [each.span_id for each in producers[1:]]
    assert span.attributes == {
        names.MESSAGING_SYSTEM: "redis",
        names.BATCH_COUNT: 7,
        names.PARTITION: 0,
        names.REFUSED: 1,
    }


async def test_untraced_entries_have_none(fresh_redis: LocalRedis, tmp_path: Path) -> None:
    pipelines = write_event_files(tmp_path)
    link = RedisLink(fresh_redis.url, client_name="test")
    event = EventMessage(id="e")
    event.event_time.FromDatetime(ride(1).event_time)
    await StreamProducer(link, PREFIX, 1).send("ride", [("c", event)])
    with told_spans() as told:
        async with serve_events(pipelines, fresh_redis, events_partitions=1):
            await until_taken(link, 1)
    await link.close()
    assert told.spans == []


async def test_producers_who_are_not_followed_have_none(
    fresh_redis: LocalRedis, tmp_path: Path
) -> None:
    caller = new_trace(sampled=True)
    pipelines = write_event_files(tmp_path)
    link = RedisLink(fresh_redis.url, client_name="test")
    event = EventMessage(id="e")
    event.event_time.FromDatetime(ride(1).event_time)
    producer = StreamProducer(link, PREFIX, 1)
    await producer.send("ride", [("c", event)], traceparent=caller.traceparent)
    with told_spans(follow_callers=False) as told:
        async with (
            serve_events(pipelines, fresh_redis, events_partitions=1) as server,
            AsyncEventClient(target_of(server)) as client,
        ):
            await until_taken(link, 1)
            await client.send("ride", [ride(2)], traceparent=caller.traceparent)
    await link.close()
    assert told.spans == []


def test_links_are_bounded() -> None:
    places = [new_trace(sampled=True) for _ in range(MAX_LINKS + 50)]
    entries = [{b"traceparent": each.traceparent.encode()} for each in places]
    with told_spans() as told:
        found = producers_of(entries)
        _, span = entries_span(process_tracing(), found, 0, len(entries))
        with span:
            started_ns = time.monotonic_ns()
    assert _ids(found) == _ids(places)
    assert len(told.spans[0].links) == MAX_LINKS
    assert told.spans[0].start_ns <= started_ns


def _ids(places: list[TraceContext]) -> list[str]:
    return [each.span_id for each in places]
