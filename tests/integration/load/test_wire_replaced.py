"""The load tool's wire where connections come to their end, and no call is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tailrace.loadtest.wire import frames
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.connection import LAST_NUMBER
from tests.support.hostile_peer import Peer, hostile_peer
from tests.support.load_messages import echo_request, echo_response
from tests.support.load_servers import LoadServer, StartLoadServer
from tests.support.wire_calls import WireCalls, statuses, wire_calls

_IN_FLIGHT = 20


@contextmanager
def _numbers_left(
    host: str, method: str, left: int, *, connections: int = 1
) -> Iterator[WireCalls]:
    """Calls over connections on which only so many numbers are left, of the first ones."""
    with wire_calls(host, method, connections=connections) as wire:
        for connection in wire.channel.connections():
            connection.next_number = LAST_NUMBER - 2 * (left - 1)
        yield wire


def _keep_calling(wire: WireCalls, message: bytes, enough: Callable[[], bool]) -> None:
    """Has twenty calls in flight, each of which is followed by another, until it is enough."""

    def ended(call: Call) -> None:
        wire.ended.append(call)
        if not enough():
            wire.start(message)

    wire.channel.on_ended = ended
    for _ in range(_IN_FLIGHT):
        wire.start(message)
    wire.finish()


@pytest.mark.parametrize("method", ["Echo", "Chat"])
def test_a_connection_whose_numbers_end_is_replaced_and_no_call_is_lost(
    load_server: LoadServer, method: str
) -> None:
    with _numbers_left(load_server.target, method, 100, connections=2) as wire:
        _keep_calling(wire, echo_request(text="x"), lambda: len(wire.ended) >= 1000)
        wire.poll_until(lambda: len(list(wire.channel.connections())) == 2)
    assert statuses(wire.ended) == [0] * len(wire.messages)
    assert {call.responses for call in wire.ended} == {1}
    counts = sorted(Counter(_peer(wire, call) for call in wire.ended).values())
    # The first two carried no more than what was left, and what was on its way then.
    assert len(counts) == 4
    assert all(100 <= count <= 100 + _IN_FLIGHT for count in counts[:2])


def test_streams_on_a_connection_whose_numbers_end_go_on_there(load_server: LoadServer) -> None:
    with _numbers_left(load_server.target, "Chat", 3) as wire:
        old = [wire.start(echo_request(text="0"), last=False) for _ in range(3)]
        wire.poll_until(lambda: all(wire.messages[call] for call in old))
        new = [wire.start(echo_request(text="0"), last=False) for _ in range(3)]
        wire.poll_until(lambda: all(wire.messages[call] for call in new))
        assert len(list(wire.channel.connections())) == 2
        for number in range(1, 5):
            for call in old + new:
                wire.channel.send(call, echo_request(text=f"{number}"), last=number == 4)
            wire.poll_until(partial(_all_have, wire, number + 1))
        wire.finish()
        wire.poll_until(lambda: len(list(wire.channel.connections())) == 1)
    assert statuses(old + new) == [0] * 6
    for call in old + new:
        assert [echo_response(each).text for each in wire.messages[call]] == [*"01234"]
    peers = [{_peer(wire, call) for call in calls} for calls in (old, new)]
    assert [len(each) for each in peers] == [1, 1]
    assert peers[0] != peers[1]


def test_numbers_grow_to_their_end_and_begin_anew_on_another_connection() -> None:
    numbers: list[list[int]] = []

    def answers(peer: Peer) -> None:
        peer.greet()
        numbers.append([])
        mine = numbers[-1]
        while True:
            try:
                mine.append(peer.request())
            except AssertionError:
                return
            peer.send(peer.answer(mine[-1]))

    with hostile_peer(answers) as host, _numbers_left(host, "Echo", 3) as wire:
        calls = [wire.call(b"") for _ in range(6)]
    assert statuses(calls) == [0] * 6
    assert numbers == [[LAST_NUMBER - 4, LAST_NUMBER - 2, LAST_NUMBER], [1, 3, 5]]


def test_calls_do_not_wait_for_a_silent_connection_whose_numbers_have_ended() -> None:
    def silent(peer: Peer) -> None:
        peer.greet()
        peer.linger()

    def answers(peer: Peer) -> None:
        peer.greet()
        peer.send(peer.answer(peer.request()))
        peer.linger()

    with hostile_peer(silent, answers) as host, _numbers_left(host, "Echo", 2) as wire:
        unanswered = [wire.start(b"") for _ in range(2)]
        wire.channel.poll(0.0)
        assert wire.call(b"").status == 0
        assert statuses(unanswered) == [-1, -1]
        for call in unanswered:
            wire.channel.cancel(call, 1, "enough")
        wire.poll_until(lambda: len(list(wire.channel.connections())) == 1)


@pytest.mark.parametrize("method", ["Echo", "Chat"])
def test_connections_that_a_server_lets_grow_no_older_are_replaced_and_no_call_is_lost(
    start_load_server: StartLoadServer, method: str
) -> None:
    options: list[tuple[str, Any]] = [
        ("grpc.max_connection_age_ms", 150),
        ("grpc.max_connection_age_grace_ms", 10_000),
    ]
    server = start_load_server(options=options)
    peers = set[str]()
    with wire_calls(server.target, method, connections=2) as wire:

        def enough() -> bool:
            peers.add(_peer(wire, wire.ended[-1]))
            return len(peers) >= 8

        _keep_calling(wire, echo_request(text="x", delay_ms=2), enough)
    assert statuses(wire.ended) == [0] * len(wire.messages)
    assert {call.responses for call in wire.ended} == {1}


def test_a_connection_is_left_with_a_farewell() -> None:
    farewell: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.greet()
        peer.send(peer.answer(peer.request()))
        farewell.append(peer.wait(frames.GOAWAY).payload)

    with hostile_peer(script) as host, wire_calls(host) as wire:
        assert wire.call(b"").status == 0
    assert farewell == [b"\0" * 8]


def _all_have(wire: WireCalls, count: int) -> bool:
    return {len(got) for got in wire.messages.values()} == {count}


def _peer(wire: WireCalls, call: Call) -> str:
    peer: str = echo_response(wire.messages[call][-1]).peer
    return peer
