"""The load tool's wire against real gRPC servers."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire.stream import Stream
from tests.support.load_messages import echo_request, echo_response
from tests.support.load_servers import Certificates, LoadServer, StartLoadServer
from tests.support.wire_calls import statuses, wire_calls


def test_unary_calls_are_answered_each_with_its_own(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, connections=3) as wire:
        calls = [wire.start(echo_request(text=f"call {number}")) for number in range(300)]
        wire.finish()
    assert statuses(calls) == [0] * 300
    told = [call.response for call in calls]
    assert [echo_response(each or b"").text for each in told] == [f"call {n}" for n in range(300)]
    assert all(call.responses == 1 and call.ended_ns > call.sent_ns for call in calls)


def test_the_same_request_is_encoded_once(load_server: LoadServer) -> None:
    request = Request((echo_request(text="same"),), (("x-same", "1"),))
    with wire_calls(load_server.target, connections=2) as wire:
        for _ in range(3):
            for _ in range(20):
                wire.start(request=request)
            wire.finish()
        encoded = request.encoded
        wire.start(request=request)
        wire.finish()
        assert request.encoded is encoded
    assert statuses(wire.ended) == [0] * 61
    answers = [echo_response(call.response or b"") for call in wire.ended]
    assert all("x-same" in [entry.name for entry in each.metadata] for each in answers)


def test_a_status_and_its_message_come_as_the_server_sent_them(load_server: LoadServer) -> None:
    with wire_calls(load_server.target) as wire:
        call = wire.call(echo_request(code=9, message="not so: 100 % – wrong\n"))
        again = wire.call(echo_request(code=5, message=""))
    assert (call.status, call.message) == (9, "not so: 100 % – wrong\n")
    assert (again.status, again.responses) == (5, 0)


def test_an_unknown_method_is_unimplemented(load_server: LoadServer) -> None:
    with wire_calls(load_server.target) as wire:
        wire.channel.headers = wire.channel.headers.__class__(
            **{**vars(wire.channel.headers), "blocks": _elsewhere(wire.channel.headers.blocks)}
        )
        call = wire.call(echo_request())
    assert call.status == 12


def _elsewhere(blocks: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(block.replace(b"EchoService/Echo", b"EchoService/None") for block in blocks)


def test_metadata_arrives_and_what_grpc_makes_itself_is_left_out(load_server: LoadServer) -> None:
    metadata = (
        ("x-a", "1"),
        ("x-a", "2"),
        ("x-bin", b"\0\xff"),
        ("te", "no"),
        ("user-agent", "no"),
    )
    with wire_calls(load_server.target) as wire:
        calls = [wire.call(echo_request(), metadata=metadata) for _ in range(2)]
    for call in calls:
        got = [(entry.name, entry.value) for entry in echo_response(call.response or b"").metadata]
        assert [each for each in got if each[0].startswith("x-")] == [
            ("x-a", b"1"),
            ("x-a", b"2"),
            ("x-bin", b"\0\xff"),
        ]
        assert ("user-agent", b"tailrace-load") in got


def test_metadata_that_no_header_can_hold_is_refused(load_server: LoadServer) -> None:
    with wire_calls(load_server.target) as wire:
        with pytest.raises(LoadError, match="x-a"):
            wire.start(echo_request(), metadata=(("x-a", "one\ntwo"),))
        with pytest.raises(LoadError, match="no name"):
            wire.start(echo_request(), metadata=(("x a", "one"),))


def test_the_server_sees_the_deadline_of_each_call(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, timeout=7.5) as wire:
        calls = [wire.call(echo_request()) for _ in range(3)]
    left = [echo_response(call.response or b"").deadline_ms for call in calls]
    assert all(0 < each <= 7500 for each in left)
    with wire_calls(load_server.target, timeout=0.0) as wire:
        assert echo_response(wire.call(echo_request()).response or b"").deadline_ms == 0


def test_a_late_call_ends_with_its_deadline_and_others_go_on(load_server: LoadServer) -> None:
    before = load_server.seen().cancelled
    with wire_calls(load_server.target, timeout=1.5) as wire:
        late = [wire.start(echo_request(delay_ms=60_000)) for _ in range(3)]
        wire.call(echo_request())
        wire.finish()
        assert all(call.ended_ns >= call.deadline_ns for call in late)
        assert {(call.status, call.message) for call in late} == {(4, "context deadline exceeded")}
        wire.call(echo_request())
        wire.poll_until(lambda: load_server.seen().cancelled == before + 3)
    assert statuses(wire.ended) == [0, 4, 4, 4, 0]


def test_a_cancelled_call_ends_here_and_at_the_server(load_server: LoadServer) -> None:
    before = load_server.seen().cancelled
    with wire_calls(load_server.target) as wire:
        wire.call(echo_request())
        call = wire.start(echo_request(delay_ms=60_000))
        wire.channel.poll(0.05)
        wire.channel.cancel(call, 1, "enough")
        wire.channel.cancel(call, 2, "again")
        wire.channel.send(call, b"", last=True)
        assert (call.status, call.message) == (1, "enough")
        assert wire.call(echo_request()).status == 0
        assert wire.ended.count(call) == 1
        wire.poll_until(lambda: load_server.seen().cancelled == before + 1)


def test_a_server_stream_is_read_to_its_end(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, "Repeat") as wire:
        many = wire.start(echo_request(text="a", answers=500, padding=3000))
        failing = wire.start(echo_request(code=8, message="no more"))
        wire.finish()
    assert (many.status, many.responses, len(wire.messages[many])) == (0, 500, 500)
    assert {len(echo_response(each).payload) for each in wire.messages[many]} == {3000}
    assert (failing.status, failing.responses) == (8, 0)


def test_a_client_stream_is_sent_piece_by_piece(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, "Collect") as wire:
        whole = wire.start(*(echo_request(text=f"{number}") for number in range(40)))
        pieces = wire.start(echo_request(text="first"), last=False)
        for number in range(10):
            wire.channel.poll(0.01)
            wire.channel.send(pieces, echo_request(text=f"{number}"), last=number == 9)
        empty = wire.start(last=False)
        wire.channel.close_sending(empty)
        wire.finish()
    answers = [echo_response(call.response or b"") for call in (whole, pieces, empty)]
    assert [(each.text, each.read) for each in answers] == [("39", 40), ("9", 11), ("", 0)]


def test_a_server_that_answers_early_ends_a_client_stream(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, "Collect") as wire:
        wire.call(echo_request())
        call = wire.start(echo_request(), last=False)
        wire.channel.poll(0.01)
        wire.channel.send(call, echo_request(code=3, message="no"), last=True)
        wire.finish()
        wire.channel.send(call, echo_request(), last=False)
        wire.channel.close_sending(call)
        assert wire.call(echo_request()).status == 0
    assert (call.status, call.message) == (3, "no")


def test_a_chat_goes_both_ways(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, "Chat") as wire:
        call = wire.start(echo_request(text="0"), last=False)
        for number in range(1, 6):
            wire.poll_until(lambda said=number: len(wire.messages[call]) == said)
            wire.channel.send(call, echo_request(text=f"{number}"), last=False)
        wire.channel.close_sending(call)
        wire.finish()
    assert call.status == 0
    assert [echo_response(each).text for each in wire.messages[call]] == [*"012345"]


def test_messages_of_any_size_go_both_ways(load_server: LoadServer) -> None:
    sizes = (0, 1, 16_000, 16_384, 70_000, 3_000_000)
    with wire_calls(load_server.target, connections=2) as wire:
        calls = [wire.start(echo_request(payload=b"x" * size)) for size in sizes for _ in range(2)]
        wire.finish()
    assert statuses(calls) == [0] * len(calls)
    got = [len(echo_response(call.response or b"").payload) for call in calls]
    assert got == [size for size in sizes for _ in range(2)]


def test_calls_that_are_over_leave_nothing_behind(load_server: LoadServer) -> None:
    gc.collect()
    gc.disable()
    try:
        with wire_calls(load_server.target) as wire:
            for _ in range(5):
                wire.call(echo_request(text="x" * 100_000))
            wire.channel.cancel(wire.start(echo_request(text="x" * 100_000)), 1, "enough")
            wire.finish()
            wire.ended.clear()
            wire.messages.clear()
            kept = [each for each in gc.get_objects() if isinstance(each, Stream)]
    finally:
        gc.enable()
    assert kept == []


def test_a_stream_tells_what_the_server_has_not_taken(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, "Collect") as wire:
        call = wire.start(last=False)
        wire.poll_until(lambda: wire.channel.unsent(call) == 0)
        wire.channel.send(call, echo_request(payload=b"x" * 3_000_000), last=True)
        assert wire.channel.unsent(call) > 1_000_000
        wire.finish()
        assert wire.channel.unsent(call) == 0
    assert call.status == 0


def test_messages_beyond_the_limits_end_their_calls_only(load_server: LoadServer) -> None:
    limits: dict[str, Any] = {"max_send_message_size": 1000, "max_recv_message_size": 2000}
    with wire_calls(load_server.target, **limits) as wire:
        sent = wire.call(echo_request(payload=b"x" * 1001))
        received = wire.call(echo_request(padding=2001))
        well = wire.call(echo_request(padding=1000))
    assert statuses([sent, received, well]) == [8, 8, 0]
    assert "1000 may be sent" in sent.message
    assert "2000 may" in received.message
    with wire_calls(load_server.target, "Collect", max_send_message_size=1000) as wire:
        call = wire.start(echo_request(), last=False)
        wire.channel.send(call, b"x" * 1001, last=False)
        assert call.status == -1
        wire.finish()
    assert call.status == 8


def test_compressed_messages_go_both_ways(start_load_server: StartLoadServer) -> None:
    server = start_load_server(options=[("grpc.default_compression_algorithm", 2)])
    for limit in (None, 300_000):
        with wire_calls(
            server.target, "Chat", enable_compression=True, max_recv_message_size=limit
        ) as wire:
            call = wire.call(echo_request(text="z" * 200_000), echo_request(text="y"))
            received = wire.channel.bytes_received
            sent = wire.channel.bytes_sent
        assert [len(echo_response(each).text) for each in wire.messages[call]] == [200_000, 1]
        assert call.status == 0
        assert received < 20_000
        assert sent < 20_000
    with wire_calls(server.target, enable_compression=True, max_recv_message_size=5000) as wire:
        call = wire.call(echo_request(text="z" * 200_000))
    assert (call.status, call.message) == (8, "a message of more than 5000 bytes came, unpacked")


def test_a_server_that_takes_few_streams_gets_no_more(start_load_server: StartLoadServer) -> None:
    server = start_load_server(options=[("grpc.max_concurrent_streams", 2)])
    with wire_calls(server.target) as wire:
        for _ in range(30):
            wire.start(echo_request(delay_ms=2))
        wire.finish()
    assert statuses(wire.ended) == [0] * 30
    assert server.seen().most_at_a_time <= 2


def test_calls_that_wait_for_a_free_stream_keep_their_deadline(
    start_load_server: StartLoadServer,
) -> None:
    server = start_load_server(options=[("grpc.max_concurrent_streams", 1)])
    with wire_calls(server.target, timeout=0.3) as wire:
        wire.call(echo_request())
        calls = [wire.start(echo_request(delay_ms=60_000)) for _ in range(3)]
        wire.finish()
        assert statuses(calls) == [4, 4, 4]
    assert server.seen().calls <= 3


def test_callers_are_spread_over_connections(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, connections=4) as wire:
        for _ in range(16):
            wire.start(echo_request())
        wire.finish()
        peers = [echo_response(call.response or b"").peer for call in wire.ended]
    assert sorted(peers.count(peer) for peer in set(peers)) == [4, 4, 4, 4]


def test_more_connections_than_select_likes_all_work(load_server: LoadServer) -> None:
    with wire_calls(load_server.target, connections=40) as wire:
        for _ in range(80):
            wire.start(echo_request(padding=100))
        wire.finish()
        assert len({echo_response(call.response or b"").peer for call in wire.ended}) == 40
    assert statuses(wire.ended) == [0] * 80


def test_tls_checks_the_certificate_and_the_name(
    start_load_server: StartLoadServer, certificates: Certificates, tmp_path: Path
) -> None:
    server = start_load_server(certificates=certificates)
    tls: dict[str, Any] = {"insecure": False, "cacert": certificates.roots}
    with wire_calls(server.target, **tls) as wire:
        for size in (10, 1_000_000):
            for _ in range(5):
                wire.start(echo_request(payload=b"x" * size))
        wire.finish()
        assert statuses(wire.ended) == [0] * 10
    with wire_calls(server.target, **tls, cname="localhost") as wire:
        assert wire.call(echo_request()).status == 0
    with wire_calls(server.target, insecure=False, skip_tls=True) as wire:
        assert wire.call(echo_request()).status == 0
    with pytest.raises(LoadError, match=r"certificate is not accepted.*\(--cacert"):
        wire_calls(server.target, insecure=False).__enter__()
    with pytest.raises(LoadError, match="certificate is not accepted"):
        wire_calls(server.target, **tls, cname="elsewhere.test").__enter__()
    with pytest.raises(LoadError, match="leave --insecure out|without --insecure"):
        wire_calls(server.target).__enter__()
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    with pytest.raises(LoadError, match=r"broken\.pem"):
        wire_calls(server.target, insecure=False, cacert=broken).__enter__()


def test_a_server_that_asks_for_certificates_gets_one(
    start_load_server: StartLoadServer, certificates: Certificates
) -> None:
    server = start_load_server(certificates=certificates, client_auth=True)
    tls: dict[str, Any] = {"insecure": False, "cacert": certificates.roots}
    pair: dict[str, Any] = {"cert": certificates.client_cert, "key": certificates.client_key}
    with wire_calls(server.target, **tls, **pair) as wire:
        assert wire.call(echo_request()).status == 0
    with pytest.raises(LoadError, match=r"cannot connect to .*--cert and --key"):
        wire_calls(server.target, **tls).__enter__()
    with pytest.raises(LoadError, match="--cert and --key"):
        wire_calls(
            server.target, **tls, cert=certificates.client_cert, key=certificates.key
        ).__enter__()


def test_a_server_in_plaintext_is_told_apart_from_one_with_tls(load_server: LoadServer) -> None:
    with pytest.raises(LoadError, match="--insecure"):
        wire_calls(load_server.target, insecure=False).__enter__()


def test_unix_sockets_and_names_are_targets(
    start_load_server: StartLoadServer, load_server: LoadServer, tmp_path: Path
) -> None:
    local = start_load_server(address=f"unix:{tmp_path}/echo.sock")
    for host in (local.target, f"unix://{tmp_path}/echo.sock"):
        with wire_calls(host) as wire:
            assert wire.call(echo_request()).status == 0
    port, target = load_server.port, load_server.target
    hosts = (f"dns:///localhost:{port}", f"localhost:{port}", f"dns:{target}")
    for host in hosts:
        with wire_calls(host, authority="other.test") as wire:
            assert wire.call(echo_request()).status == 0


def test_calls_fail_while_a_server_is_gone_and_go_on_when_it_is_back(
    start_load_server: StartLoadServer,
) -> None:
    server = start_load_server()
    with wire_calls(server.target, connections=2) as wire:
        wire.finish(*(wire.start(echo_request()) for _ in range(4)))
        in_flight = [wire.start(echo_request(delay_ms=60_000)) for _ in range(4)]
        wire.channel.poll(0.05)
        server.kill()
        wire.finish(*in_flight)
        assert statuses(in_flight) == [14] * 4
        assert {"closed" in call.message or "broke" in call.message for call in in_flight} == {True}
        began = time.monotonic()
        for _ in range(5):
            call = wire.call(echo_request())
            assert call.status == 14
            assert "refused" in call.message
        assert time.monotonic() - began > 0.2, "attempts follow each other without a pause"
        start_load_server(address=server.target)
        wire.poll_until(lambda: wire.call(echo_request()).status == 0)


def test_a_frozen_server_does_not_answer_pings(start_load_server: StartLoadServer) -> None:
    server = start_load_server()
    with wire_calls(server.target, keepalive=0.2, timeout=30.0) as wire:
        wire.call(echo_request())
        server.freeze()
        call = wire.call(echo_request())
        server.thaw()
    assert (call.status, call.message) == (
        14,
        "a keepalive ping had no answer within 0.2 s",
    )


def test_a_frozen_server_is_not_waited_for_longer_than_asked(
    start_load_server: StartLoadServer,
) -> None:
    server = start_load_server()
    server.freeze()
    with pytest.raises(LoadError, match=r"takes too long \(--connect-timeout"):
        wire_calls(server.target, connect_timeout=0.3).__enter__()


def test_a_poll_waits_no_longer_than_it_was_told(load_server: LoadServer) -> None:
    with wire_calls(load_server.target) as wire:
        began = time.perf_counter()
        for _ in range(20):
            wire.channel.poll(0.0002)
        assert time.perf_counter() - began >= 20 * 0.0002
