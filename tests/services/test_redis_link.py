"""One connection for many calls: several commands at once, cancellation, loss, full buffers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.redis_errors import RedisRefused, RedisUnreachable
from tailrace.features.redis_link import RedisLink
from tests.support.redis_fixtures import StartRedis

OpenLink = Callable[[str], RedisLink]


class Told:
    """Keeps what a link tells. A `KeyTracker`."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def tracking_began(self) -> None:
        self.events.append("began")

    def tracking_refused(self, problem: str) -> None:
        self.events.append(problem)

    def keys_changed(self, keys: Sequence[bytes] | None) -> None:
        self.events.append(keys)

    def tracking_ended(self) -> None:
        self.events.append("ended")


@pytest.fixture(params=[False, True], ids=["untracked", "tracked"])
async def open_link(request: pytest.FixtureRequest) -> AsyncIterator[OpenLink]:
    """Opens links, which all have to work alike, whether Redis tracks what they read or not."""
    links: list[RedisLink] = []

    def open_one(url: str) -> RedisLink:
        tracker = Told() if request.param else None
        links.append(RedisLink(url, client_name="tests", tracker=tracker))
        return links[-1]

    yield open_one
    for link in links:
        await link.close()


async def test_several_commands_are_answered_in_order(
    open_link: OpenLink, fresh_redis: LocalRedis
) -> None:
    link = open_link(fresh_redis.url)
    commands = [("SET", "a", "1"), ("MGET", "a", "none"), ("INCR", "a"), ("LRANGE", "l", "0", "1")]
    assert await link.call_many(commands) == [b"OK", [b"1", None], 2, []]
    assert await link.call_many([("GET", "a")]) == [b"2"]
    assert link.waiting == 0


async def test_one_failing_command_of_several_fails_them_and_no_others(
    open_link: OpenLink, fresh_redis: LocalRedis
) -> None:
    link = open_link(fresh_redis.url)
    first: list[Any] = []
    mixed = [("SET", "a", "1"), ("LPUSH", "a", "2"), ("NOSUCH",), ("SET", "b", "3")]
    outcomes = await asyncio.gather(
        link.call("ECHO", "before"),
        link.call_many(mixed, first.append),
        link.call_many([("LPUSH", "a", "2"), ("GET", "b")], first.append),
        link.call_many([("GET", "a"), ("GET", "b")]),
        return_exceptions=True,
    )
    assert outcomes[0] == b"before"
    assert isinstance(outcomes[1], RedisRefused)
    assert outcomes[1].error_code == "WRONGTYPE", "the first error counts"
    assert isinstance(outcomes[2], RedisRefused)
    assert outcomes[3] == [b"1", b"3"], "the others were executed"
    assert first == [b"OK"], "an error is no reply"


async def test_of_commands_that_are_told_apart_each_has_its_reply_or_its_refusal(
    open_link: OpenLink, start_redis: StartRedis
) -> None:
    server = start_redis()
    link = open_link(server.url)
    found = await link.call_each([("SET", "a", "1"), ("LPUSH", "a", "2"), ("GET", "a")])
    assert (found[0], found[2]) == (b"OK", b"1")
    assert isinstance(found[1], RedisRefused)
    assert await link.call_each([]) == await link.call_many([]) == []
    cut_off = asyncio.create_task(link.call_each([("LPUSH", "a", "2"), ("BLPOP", "none", "0")]))
    await asyncio.sleep(0)
    server.kill()
    with pytest.raises(RedisUnreachable):
        await cut_off


async def test_commands_that_nobody_waits_for_any_more_disturb_no_others(
    open_link: OpenLink, fresh_redis: LocalRedis
) -> None:
    link = open_link(fresh_redis.url)
    first: list[Any] = []
    await link.call("PING")
    calls = [
        asyncio.create_task(link.call_many([("ECHO", f"{n}"), ("ECHO", f"-{n}")], first.append))
        for n in range(50)
    ]
    await asyncio.sleep(0)  # all are sent
    for call in calls[::3]:
        call.cancel()
    for number, outcome in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
        if number % 3 == 0:
            assert isinstance(outcome, asyncio.CancelledError)
        else:
            assert outcome == [f"{number}".encode(), f"-{number}".encode()]
    await link.call("PING")
    assert first == [f"{n}".encode() for n in range(50)], "also those that were cancelled"


async def test_a_loss_in_between_fails_all_that_are_not_wholly_answered(
    open_link: OpenLink, start_redis: StartRedis
) -> None:
    server = start_redis()
    link = open_link(server.url)
    await link.call("PING")
    whole = asyncio.create_task(link.call_many([("ECHO", "1"), ("ECHO", "2")]))
    # The second command is answered by nobody: the third one ends the connection.
    cut_off = asyncio.create_task(
        link.call_many([("ECHO", "3"), ("BLPOP", "none", "0"), ("ECHO", "4")])
    )
    assert await whole == [b"1", b"2"]
    server.kill()
    with pytest.raises(RedisUnreachable):
        await cut_off
    assert link.waiting == 0
    with pytest.raises(RedisUnreachable):
        await link.call_many([("ECHO", "5")])
    server.start()
    assert await link.call_many([("ECHO", "6")]) == [b"6"]


async def test_calls_wait_while_the_server_takes_nothing_and_may_be_cancelled_then(
    open_link: OpenLink, start_redis: StartRedis
) -> None:
    server = start_redis()
    link = open_link(server.url)
    await link.call("PING")
    server.process.signal(signal.SIGSTOP)
    try:
        large = bytes(1_000_000)
        calls = [asyncio.create_task(link.call("SET", f"k{n}", large)) for n in range(20)]
        calls += [
            asyncio.create_task(link.call_many([("SET", f"m{n}", large), ("STRLEN", f"m{n}")]))
            for n in range(20)
        ]
        await asyncio.sleep(0)
        assert 0 < link.waiting < 10, "the others wait for the buffer to empty"
        for call in calls[1::2]:
            call.cancel()
    finally:
        server.process.signal(signal.SIGCONT)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes[0:20:2] == [b"OK"] * 10
    assert outcomes[20:40:2] == [[b"OK", len(large)]] * 10
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1::2])
    stored = await link.call("EXISTS", *[f"k{n}" for n in range(20)])
    assert 10 <= stored < 20, "what was cancelled while it waited was never sent"


async def test_calls_that_wait_for_the_buffer_fail_when_the_connection_is_lost(
    open_link: OpenLink, start_redis: StartRedis
) -> None:
    server = start_redis()
    link = open_link(server.url)
    await link.call("PING")
    server.process.signal(signal.SIGSTOP)
    large = bytes(1_000_000)
    calls = [asyncio.create_task(link.call("SET", f"k{n}", large)) for n in range(20)]
    await asyncio.sleep(0)
    assert link.waiting < 10
    server.kill()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, RedisUnreachable) for outcome in outcomes), outcomes


# -- tracking -------------------------------------------------------------------------------


async def test_changes_are_told_in_their_place_among_the_replies(fresh_redis: LocalRedis) -> None:
    told = Told()
    link = RedisLink(fresh_redis.url, client_name="tests", tracker=told)

    def keep(reply: Any) -> None:
        told.events.append(reply)

    # The link's own writes are told as well, each after its own reply.
    calls = [
        link.call_many([("MGET", "a")], keep),
        link.call_many([("SET", "a", "1")], keep),
        link.call_many([("MGET", "a")], keep),
        link.call_many([("FLUSHALL",)]),
        link.call_many([("MGET", "a")], keep),
    ]
    await link.call("PING")
    await asyncio.gather(*calls)
    await link.close()
    changed = [event for event in told.events if event != b"OK"]
    assert changed == ["began", [None], [b"a"], [b"1"], None, [None], "ended"]


PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nb\r\n"


async def test_a_notification_inside_a_reply_ends_the_connection_before_values_are_mistaken(
    start_redis: StartRedis,
) -> None:
    server = start_redis()
    told = Told()
    link = RedisLink(server.url, client_name="tests", tracker=told)
    await link.call("PING")
    server.process.signal(signal.SIGSTOP)
    call = asyncio.create_task(link.call("MGET", "b", "c"))
    await asyncio.sleep(0)
    # As some older servers write; 6.2.14, which the tests run on, does not.
    assert link._session is not None
    link._session.data_received(b"*2\r\n_\r\n" + PUSH + b"$1\r\nc\r\n")
    with pytest.raises(RedisUnreachable, match="a notification inside a reply"):
        await call
    assert told.events == ["began", "ended"]
    server.process.signal(signal.SIGCONT)
    assert await link.call("MGET", "b", "c") == [None, None]
    await link.close()


async def test_connecting_to_a_server_that_stands_still_is_given_up_in_time(
    start_redis: StartRedis,
) -> None:
    server = start_redis()
    told = Told()
    link = RedisLink(server.url, client_name="tests", tracker=told, connect_timeout_s=0.05)
    server.process.signal(signal.SIGSTOP)
    calls = [link.call("PING") for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    server.process.signal(signal.SIGCONT)
    assert [type(outcome) for outcome in outcomes] == [RedisUnreachable] * 5
    assert told.events == []
    await link.close()
