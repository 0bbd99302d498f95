"""Streams are sent, paused, closed and cancelled as ghz 0.121 does it."""

from __future__ import annotations

import base64
import gc
import json
import time
from typing import Any

import pytest

from tailrace.loadtest.engine.stream_calls import StreamCalls
from tailrace.loadtest.measure.recorder import Recorder
from tailrace.loadtest.method.resolve import resolve_method
from tailrace.loadtest.requests.source import make_source
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.channel import Channel
from tests.support.engine_runs import load_options, loaded
from tests.support.load_servers import LoadServer, StartLoadServer

_MS = 1_000_000
_THREE = '[{"text": "a"}, {"text": "b"}, {"text": "c"}]'
_CANCELED = "rpc error: code = Canceled desc = context canceled"


async def _messages(server: LoadServer, method: str, **changes: Any) -> list[int]:
    """Makes four calls; returns how many messages the server answered, and how many came back."""
    before = server.seen().messages
    result = await loaded(server, method, total=4, concurrency=2, **changes)
    assert result.tally.statuses == {"OK": 4}
    return [server.seen().messages - before, result.tally.responses]


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"data": _THREE, "stream_interval": 0.01}, 3),
        ({"data": "[]", "stream_interval": 0.01}, 0),
        ({"data": _THREE, "stream_call_count": 7}, 7),
        ({"data": _THREE, "stream_call_count": 7, "stream_interval": 0.005}, 7),
        ({"data": "{}", "stream_call_count": 250}, 250),
        ({"data": '{"text": "{{.RequestNumber}}"}', "stream_dynamic_messages": True,
          "stream_call_count": 5}, 5),
        ({"data": '{"text": "{{.RequestNumber}}"}', "stream_dynamic_messages": True,
          "stream_call_count": 5, "stream_interval": 0.005}, 5),
    ],
)  # fmt: skip
async def test_a_stream_has_as_many_messages_as_told(
    load_server: LoadServer, changes: dict[str, Any], messages: int
) -> None:
    assert await _messages(load_server, "Chat", **changes) == [4 * messages, 4 * messages]


async def test_a_long_stream_waits_for_the_server(load_server: LoadServer) -> None:
    data = json.dumps({"payload": base64.b64encode(b"p" * 20_000).decode()})
    changes: dict[str, Any] = {"data": data, "stream_call_count": 400}
    before = load_server.seen().messages
    result = await loaded(load_server, "Collect", total=1, concurrency=1, **changes)

    # Eight megabytes, of which a server takes some hundred kilobytes at a time.
    assert result.tally.statuses == {"OK": 1}
    assert result.tally.bytes_sent > 400 * 20_000
    assert load_server.seen().messages - before == 1


async def test_messages_are_so_far_apart(load_server: LoadServer) -> None:
    result = await loaded(load_server, "Collect", total=3, data=_THREE, stream_interval=0.1)

    assert result.tally.statuses == {"OK": 3}
    assert result.tally.corrected.minimum_ns > 200 * _MS


@pytest.mark.parametrize("method", ["Chat", "Collect"])
async def test_after_its_time_the_caller_closes_a_stream(
    load_server: LoadServer, method: str
) -> None:
    before = load_server.seen().messages
    result = await loaded(
        load_server,
        method,
        total=2,
        data="{}",
        stream_call_count=1000,
        stream_interval=0.1,
        stream_call_duration=0.35,
    )

    assert result.tally.statuses == {"OK": 2}
    assert result.tally.corrected.minimum_ns > 350 * _MS
    if method == "Chat":
        assert 2 <= load_server.seen().messages - before <= 8


@pytest.mark.parametrize(
    "changes", [{"stream_call_count": 3}, {"stream_call_duration": 0.2}], ids=["count", "time"]
)
async def test_who_only_receives_cancels(
    start_load_server: StartLoadServer, changes: dict[str, Any]
) -> None:
    server = start_load_server()
    data = '{"answers": 1000, "delay_ms": 20}'
    result = await loaded(server, "Repeat", total=4, concurrency=2, data=data, **changes)

    assert result.tally.statuses == {"Canceled": 4}
    assert result.tally.errors == {_CANCELED: 4}
    # Fewer than a second's worth, though a thousand would have come.
    assert 4 <= result.tally.responses <= 4 * 50
    if "stream_call_count" in changes:
        assert result.tally.responses == 12
    assert server.seen().cancelled == 4


async def test_short_streams_are_left_alone(load_server: LoadServer) -> None:
    result = await loaded(
        load_server, "Repeat", total=6, data='{"answers": 2}', stream_call_duration=5
    )

    assert (result.tally.statuses, result.tally.responses) == ({"OK": 6}, 12)
    # Nobody waited for the time at which they would have been cancelled.
    assert result.duration_ns < 5_000 * _MS


def test_calls_that_are_over_are_not_kept_for_the_longest_time_that_they_may_take(
    load_server: LoadServer,
) -> None:
    options = load_options(load_server.target, "Repeat", data="{}", stream_call_duration=600.0)
    method = resolve_method(options)
    channel = Channel(options, method)
    recorder = Recorder(time.monotonic_ns(), count_errors=False, skip_first=0, details=None)
    calls = StreamCalls(options, method, channel, make_source(options, method), recorder, None)
    ended: list[int] = []
    calls.freed = lambda call: ended.append(call.number)
    channel.connect()
    try:
        for number in range(3000):
            calls.make(number, 0, 0)
            while len(calls.in_flight) >= 50:
                channel.poll(0.1)
        while calls.in_flight:
            channel.poll(0.1)
    finally:
        channel.close()
    kept = [each for each in gc.get_objects() if isinstance(each, Call)]
    assert len(ended) == 3000
    assert len(kept) < 1500
