"""The load tool's wire where a target has several addresses, of which some do not answer."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.channel import Channel
from tests.support.hostile_peer import Peer, black_hole, hostile_peer
from tests.support.load_messages import SERVICE, echo_files, echo_request, echo_response
from tests.support.load_servers import Certificates, LoadServer, StartLoadServer
from tests.support.wire_calls import WireCalls, statuses, wire_calls

_ADDRESSES = ("127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0")


def _listed(*targets: str) -> str:
    return "ipv4:" + ",".join(targets)


def test_addresses_that_swallow_packets_do_not_keep_others_from_being_tried(
    load_server: LoadServer,
) -> None:
    with black_hole() as first, black_hole() as second:
        host = _listed(first, second, load_server.target)
        with wire_calls(host, connections=2) as wire:
            assert statuses([wire.call(echo_request()) for _ in range(4)]) == [0] * 4


def test_addresses_that_swallow_packets_are_passed_over_with_tls(
    start_load_server: StartLoadServer, certificates: Certificates
) -> None:
    server = start_load_server(certificates=certificates)
    tls: dict[str, Any] = {"insecure": False, "cacert": certificates.roots}
    # The second accepts, and never says a word of TLS.
    with black_hole() as hole, socket.create_server(("127.0.0.1", 0)) as silent:
        host = _listed(hole, f"127.0.0.1:{silent.getsockname()[1]}", server.target)
        with wire_calls(host, **tls) as wire:
            assert wire.call(echo_request()).status == 0


def test_addresses_that_do_not_speak_http2_are_passed_over(load_server: LoadServer) -> None:
    def page(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.linger()

    with hostile_peer(page) as other, wire_calls(_listed(other, load_server.target)) as wire:
        assert wire.call(echo_request()).status == 0


def test_the_first_to_answer_is_taken_and_the_others_are_left(load_server: LoadServer) -> None:
    answered = threading.Event()
    left: list[bool] = []

    def late(peer: Peer) -> None:
        assert answered.wait(10.0)
        peer.greet()
        peer.linger()
        left.append(True)

    with hostile_peer(late) as slow:
        with wire_calls(_listed(slow, load_server.target)) as wire:
            calls = [wire.call(echo_request()) for _ in range(2)]
            answered.set()
            calls += [wire.call(echo_request()) for _ in range(2)]
    assert statuses(calls) == [0] * 4
    assert left == [True]
    assert len({_peer(call) for call in calls}) == 1


def test_a_connection_that_is_lost_is_replaced_past_an_address_that_swallows_packets(
    start_load_server: StartLoadServer, load_server: LoadServer
) -> None:
    server = start_load_server()
    with black_hole() as hole:
        with wire_calls(_listed(server.target, hole, load_server.target)) as wire:
            wire.call(echo_request())
            server.kill()
            wire.poll_until(lambda: wire.call(echo_request()).status == 0)
            assert wire.call(echo_request()).status == 0


def test_a_server_that_comes_back_is_found_while_another_address_is_silent(
    start_load_server: StartLoadServer,
) -> None:
    server = start_load_server()
    with black_hole() as hole:
        host = _listed(server.target, hole)
        with wire_calls(host, timeout=15.0, connect_timeout=60.0) as wire:
            wire.call(echo_request())
            server.kill()
            wire.poll_until(lambda: wire.channel._links.attempting)
            waiting = wire.start(echo_request())
            # Until it is refused.
            wire.channel.poll(0.1)
            start_load_server(address=server.target)
            wire.finish(waiting)
    assert waiting.status == 0


def test_an_attempt_that_is_given_up_leaves_no_socket() -> None:
    spec = MethodSpec(SERVICE, "Echo", echo_files())
    with black_hole() as first, black_hole() as second:
        host = _listed(first, second)
        options = LoadOptions(host=host, call=spec.path, insecure=True, connect_timeout=0.4)
        channel = Channel(options, spec)
        links = channel._links
        links.connect()
        (attempt,) = [slot.attempt for slot in links._slots]
        assert attempt is not None
        while len(attempt.links) < 2:
            links.poll(0.01)
            links.timer(time.monotonic_ns())
        tried = list(attempt.links)
    # Nobody listens any more, which both hear as soon as the kernel tries again.
    for link in tried:
        assert link._socket is not None
        assert select.select([], [link._socket], [], 10.0)[1]
    # The first that is looked at comes too late, and ends the attempt with the other.
    links.poll(0.0)
    assert not links.attempting
    assert [link._dial.socket for link in tried] == [None, None]
    channel.close()


def test_what_was_wrong_with_each_address_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"127.0.0.1:{closed.getsockname()[1]}"
    with black_hole() as hole, socket.create_server(("127.0.0.2", 0)) as mute:
        silent = f"127.0.0.2:{mute.getsockname()[1]}"
        with pytest.raises(LoadError) as error:
            wire_calls(_listed(dead, hole, silent), connect_timeout=1.0).__enter__()
    assert error.value.problem.endswith(
        f": {dead}: connection refused; {hole}: connecting takes too long; "
        f"{silent}: an answer in HTTP/2 takes too long"
    )
    assert error.value.hint


def test_calls_go_round_all_addresses_evenly_and_past_a_server_that_died(
    start_load_server: StartLoadServer,
) -> None:
    servers = [start_load_server(address=address) for address in _ADDRESSES]
    host = _listed(*(server.target for server in servers))
    with wire_calls(host, connections=2, lb_strategy="round_robin") as wire:
        calls = _calls(wire, 60)
        calls += [wire.call(echo_request()) for _ in range(60)]
        assert statuses(calls) == [0] * 120
        # Six connections, two to each server, and each server has counted its calls for itself.
        for some in (calls[:60], calls[60:]):
            assert sorted(Counter(map(_peer, some)).values()) == [10] * 6
        assert _counts(servers) == [40] * 3
        in_flight = [wire.start(echo_request(delay_ms=60_000)) for _ in range(6)]
        wire.poll_until(lambda: _counts(servers) == [42] * 3)
        servers[1].kill()
        wire.poll_until(lambda: sum(call.status != -1 for call in in_flight) == 2)
        assert sorted(statuses(in_flight)) == [-1, -1, -1, -1, 14, 14]
        for call in in_flight:
            wire.channel.cancel(call, 1, "enough")
        assert statuses(_calls(wire, 40)) == [0] * 40
        assert _counts([servers[0], servers[2]]) == [62] * 2
        servers[1] = start_load_server(address=servers[1].target)
        wire.poll_until(lambda: not wire.call(echo_request()).status and _peers(servers[1]) == 2)
        before = _counts(servers)
        assert statuses(_calls(wire, 60)) == [0] * 60
        after = _counts(servers)
    assert [now - then for now, then in zip(after, before, strict=True)] == [20] * 3


def test_addresses_that_swallow_packets_take_no_calls_of_a_round() -> None:
    counts = [0, 0]

    def answers(place: int, peer: Peer) -> None:
        peer.greet()
        for _ in range(10):
            peer.send(peer.answer(peer.request()))
            counts[place] += 1
        peer.linger()

    with (
        black_hole() as hole,
        hostile_peer(partial(answers, 0)) as first,
        hostile_peer(partial(answers, 1)) as second,
        wire_calls(
            _listed(first, hole, second), lb_strategy="round_robin", connect_timeout=60.0
        ) as wire,
    ):
        assert wire.channel._links.attempting, "it was waited for"
        assert statuses(_calls(wire, 20)) == [0] * 20
    assert counts == [10, 10]


def _counts(servers: Sequence[LoadServer]) -> list[int]:
    return [server.seen().calls for server in servers]


def _peers(server: LoadServer) -> int:
    return len(server.seen().peers)


def _calls(wire: WireCalls, count: int) -> list[Call]:
    calls = [wire.start(echo_request()) for _ in range(count)]
    wire.finish(*calls)
    return calls


def _peer(call: Call) -> str:
    peer: str = echo_response(call.response or b"").peer
    return peer
