"""The load tool's wire against a peer that does what HTTP/2 allows, and what it does not."""

from __future__ import annotations

import gzip
import struct
import threading
import time
from collections.abc import Callable
from random import Random

import pytest
from hpack import Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.wire import frames
from tests.support.hostile_peer import Frame, Peer, hostile_peer, prefixed
from tests.support.wire_calls import WireCalls, statuses, wire_calls

Script = Callable[[Peer], None]


def _answers(peer: Peer) -> None:
    peer.greet()
    while True:
        try:
            number = peer.request()
        except AssertionError:
            return
        peer.send(peer.answer(number))


def _one_call(script: Script) -> WireCalls:
    with hostile_peer(script) as host, wire_calls(host) as wire:
        wire.call(b"")
        return wire


def test_a_well_behaved_peer_answers() -> None:
    wire = _one_call(_answers)
    assert (wire.ended[0].status, wire.ended[0].response) == (0, b"well")


def test_answers_may_come_byte_by_byte() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        for _ in range(2):
            for byte in peer.answer(peer.request()):
                peer.send(bytes([byte]))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        assert statuses([wire.call(b""), wire.call(b"")]) == [0, 0]
        assert [call.response for call in wire.ended] == [b"well"] * 2


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=4), chance=st.randoms())
def test_answers_may_be_cut_anywhere_and_padded_and_split(sizes: list[int], chance: Random) -> None:
    messages = [bytes([place]) * size for place, size in enumerate(sizes)]
    encoder = Encoder()
    head = encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
    parts = [_headers(chance, head, 0)]
    for piece in _cut(chance, b"".join(prefixed(message) for message in messages)):
        parts.append(_padded(chance, frames.DATA, 0, piece))
    parts.append(frames.frame(0xBE, 7, 0, b"unknown"))
    parts.append(_headers(chance, encoder.encode([("grpc-status", "0")]), frames.END_STREAM))
    pieces = _cut(chance, b"".join(parts))

    def script(peer: Peer) -> None:
        peer.greet()
        assert peer.request() == 1
        for piece in pieces:
            peer.send(piece)
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host, "Repeat") as wire:
        call = wire.call(b"")
    assert call.status == 0
    assert wire.messages[call] == messages


def _cut(chance: Random, whole: bytes) -> list[bytes]:
    places = sorted(chance.randrange(len(whole) + 1) for _ in range(chance.randrange(12)))
    ends = [*places, len(whole)]
    return [whole[start:end] for start, end in zip([0, *places], ends, strict=True) if start < end]


def _padded(chance: Random, kind: int, flags: int, payload: bytes) -> bytes:
    if chance.random() < 0.5:
        return frames.frame(kind, flags, 1, payload)
    padding = chance.choice((0, 1, 255))
    carried = bytes([padding]) + payload + b"\0" * padding
    return frames.frame(kind, flags | frames.PADDED, 1, carried)


def _headers(chance: Random, block: bytes, flags: int) -> bytes:
    cut = chance.randint(0, len(block))
    if cut == len(block):
        return _padded(chance, frames.HEADERS, flags | frames.END_HEADERS, block)
    first = _padded(chance, frames.HEADERS, flags, block[:cut])
    middle = frames.frame(frames.CONTINUATION, 0, 1)
    return first + middle + frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[cut:])


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    garbage=st.lists(
        st.builds(
            frames.frame,
            st.integers(0, 10),
            st.integers(0, 255),
            st.integers(0, 3),
            st.binary(max_size=40),
        )
        | st.binary(min_size=1, max_size=60),
        min_size=1,
        max_size=5,
    )
)
def test_garbage_ends_calls_and_nothing_else(garbage: list[bytes]) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.request()
        peer.send(*garbage)
        peer.socket.shutdown(1)
        peer.linger()

    with hostile_peer(script, _answers) as host, wire_calls(host) as wire:
        first = wire.call(b"")
        assert first.status >= 0
        wire.poll_until(lambda: wire.call(b"").status == 0)


def test_a_peer_with_a_table_of_headers_is_understood() -> None:
    def script(peer: Peer) -> None:
        # As if it had never heard of a table of size 0; each block refers to what came before.
        peer.greet()
        for value in range(30):
            number = peer.request()
            head = frames.header_frames(number, peer.head(), 16_384, last=False)
            trailers = peer.block(
                ("grpc-status", f"{value % 3}"),
                ("grpc-message", f"m{value % 5}"),
                ("x-new", f"{value // 2}"),
            )
            data = frames.frame(frames.DATA, 0, number, prefixed(b""))
            peer.send(head, data, frames.header_frames(number, trailers, 16_384, last=True))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        calls = [wire.call(b"") for _ in range(30)]
    assert [(call.status, call.message) for call in calls] == [
        (value % 3, f"m{value % 5}") for value in range(30)
    ]


def test_a_peer_without_a_table_gets_headers_in_full() -> None:
    seen: list[tuple[str, str]] = []

    def script(peer: Peer) -> None:
        peer.decoder.max_allowed_table_size = 0
        peer.greet((frames.HEADER_TABLE_SIZE, 0))
        for _ in range(3):
            while True:
                got = peer.wait(frames.HEADERS)
                seen.extend((str(k), str(v)) for k, v in peer.decoder.decode(got.payload))
                break
            peer.send(peer.answer(peer.request()))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        assert statuses([wire.call(b"") for _ in range(3)]) == [0, 0, 0]
    assert seen.count((":path", "/test.load.EchoService/Echo")) == 3
    assert seen.count(("grpc-timeout", "10S")) == 3


def test_a_table_that_is_taken_away_later_is_not_used() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        for _ in range(2):
            peer.send(peer.answer(peer.request()))
        peer.greet((frames.HEADER_TABLE_SIZE, 0))
        peer.wait(frames.SETTINGS, flags=frames.ACK)
        peer.decoder.max_allowed_table_size = 0
        for _ in range(2):
            peer.send(peer.answer(peer.request()))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        assert statuses([wire.call(b"") for _ in range(2)]) == [0, 0]
        for _ in range(10):
            wire.channel.poll(0.01)
        assert statuses([wire.call(b"") for _ in range(2)]) == [0, 0]


def test_small_windows_and_frames_are_kept_to() -> None:
    message = bytes(range(256)) * 40
    sizes: list[int] = []

    def script(peer: Peer) -> None:
        peer.greet((frames.INITIAL_WINDOW_SIZE, 1000))
        got = b""
        peer.wait(frames.HEADERS)
        while len(got) < len(message) + 5:
            # It never has more than it gave.
            frame = peer.wait(frames.DATA, 1)
            sizes.append(len(frame.payload))
            got += frame.payload
            if len(got) == 1000:
                peer.greet((frames.INITIAL_WINDOW_SIZE, 1500))
            elif len(got) == 1500:
                # A window below nothing: 1,400 bytes have to be given before one may be sent.
                peer.greet((frames.INITIAL_WINDOW_SIZE, 100))
                peer.send(frames.window_update(1, 1400), frames.window_update(1, 10))
            else:
                peer.send(frames.window_update(1, 3000))
            peer.send(frames.window_update(0, len(frame.payload)))
        assert got == prefixed(message)
        peer.send(peer.answer(1))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        assert wire.call(message).status == 0
    assert sizes[:3] == [1000, 500, 10]
    assert max(sizes) <= 3000


def test_the_window_of_the_connection_is_kept_to() -> None:
    def script(peer: Peer) -> None:
        peer.greet((frames.INITIAL_WINDOW_SIZE, 1 << 20))
        got: list[Frame] = []
        while sum(len(frame.payload) for frame in got) < frames.DEFAULT_WINDOW:
            got.append(peer.wait(frames.DATA))
        assert sum(len(frame.payload) for frame in got) == frames.DEFAULT_WINDOW
        peer.send(frames.window_update(0, 1 << 20))
        while sum(frame.flags & frames.END_STREAM for frame in got) < 2:
            got.append(peer.wait(frames.DATA))
        peer.send(peer.answer(1), peer.answer(3))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        calls = [wire.start(b"x" * 40_000) for _ in range(2)]
        wire.finish()
        assert statuses(calls) == [0, 0]


def test_an_answer_that_lies_there_when_its_deadline_passes_is_not_late() -> None:
    answered = threading.Event()

    def answer(peer: Peer) -> None:
        peer.greet()
        peer.send(peer.answer(peer.request()))
        answered.set()
        peer.linger()

    with hostile_peer(answer) as target, wire_calls(target, timeout=0.5) as wire:
        call = wire.start(b"ask")
        wire.channel.poll(0.0)
        assert answered.wait(10.0)
        while time.monotonic_ns() <= call.deadline_ns:
            time.sleep(0.01)
        wire.channel.poll(0.0)
    assert (call.status, call.response) == (0, b"well")


def test_pings_are_answered() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        number = peer.request()
        peer.send(frames.frame(frames.PING, 0, 0, b"12345678"))
        assert peer.wait(frames.PING, flags=frames.ACK).payload == b"12345678"
        peer.send(peer.answer(number))
        peer.linger()

    assert _one_call(script).ended[0].status == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [(0, 13), (1, 13), (2, 13), (3, 13), (8, 1), (11, 8), (12, 7), (13, 2), (99, 13)],
)
def test_a_reset_stream_becomes_a_status(code: int, status: int) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.send(frames.rst_stream(peer.request(), code))
        peer.linger()

    call = _one_call(script).ended[0]
    assert call.status == status
    assert frames.error_name(code) in call.message


def test_a_refused_stream_is_tried_again_some_times() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        for _ in range(5):
            peer.send(frames.rst_stream(peer.request(), frames.REFUSED_STREAM))
        peer.send(peer.answer(peer.request()))
        for _ in range(6):
            peer.send(frames.rst_stream(peer.request(), frames.REFUSED_STREAM))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        first, second = wire.call(b""), wire.call(b"")
    assert statuses([first, second]) == [0, 14]
    assert "REFUSED_STREAM" in second.message
    assert first.responses == 1
    assert first.ended_ns - first.sent_ns >= 30_000_000, "attempts follow without a pause"


def test_a_server_that_goes_away_is_left_and_what_it_did_not_see_is_sent_again() -> None:
    def leaving(peer: Peer) -> None:
        peer.greet()
        for _ in range(3):
            number = peer.request()
        assert number == 5
        peer.send(frames.frame(frames.GOAWAY, 0, 0, struct.pack(">II", 1, 0) + b"bye"))
        peer.send(peer.answer(1, b"old"))
        peer.linger()

    with hostile_peer(leaving, _answers) as host, wire_calls(host) as wire:
        calls = [wire.start(b"") for _ in range(3)]
        wire.finish()
        calls.append(wire.call(b""))
    assert statuses(calls) == [0] * 4
    assert [call.response for call in calls] == [b"old", b"well", b"well", b"well"]
    assert wire.ended == calls, "those that wait again have lost their order"


def test_calls_that_wait_outlive_a_connection_that_is_lost() -> None:
    def dying(peer: Peer) -> None:
        peer.greet((frames.MAX_CONCURRENT_STREAMS, 1))
        peer.request()

    with hostile_peer(dying, _answers) as host, wire_calls(host) as wire:
        calls = [wire.start(b"") for _ in range(3)]
        wire.finish()
    assert statuses(calls) == [14, 0, 0]


def test_why_a_server_went_away_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        peer.request()
        told = struct.pack(">II", 1, frames.ENHANCE_YOUR_CALM) + b"too_many_pings"
        peer.send(frames.frame(frames.GOAWAY, 0, 0, told))

    call = _one_call(script).ended[0]
    assert call.status == 14
    assert "ENHANCE_YOUR_CALM too_many_pings" in call.message


def test_a_stream_that_was_sent_in_part_is_sent_again_in_full() -> None:
    def leaving(peer: Peer) -> None:
        peer.greet()
        for _ in range(2):
            peer.wait(frames.DATA)
        peer.send(frames.frame(frames.GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
        peer.linger()

    def taking(peer: Peer) -> None:
        peer.greet()
        peer.wait(frames.HEADERS)
        got = b""
        while not (frame := peer.wait(frames.DATA)).flags & frames.END_STREAM:
            got += frame.payload
        assert got + frame.payload == b"".join(prefixed(each) for each in (b"a", b"b", b"c"))
        peer.send(peer.answer(1))
        peer.linger()

    with hostile_peer(leaving, taking) as host, wire_calls(host, "Collect") as wire:
        call = wire.start(b"a", last=False)
        wire.channel.poll(0.01)
        wire.channel.send(call, b"b", last=False)
        for _ in range(30):
            wire.channel.poll(0.01)
        wire.channel.send(call, b"c", last=True)
        wire.finish()
    assert call.status == 0


@pytest.mark.parametrize(
    ("http", "status"),
    [("400", 13), ("401", 16), ("403", 7), ("404", 12), ("429", 14), ("503", 14), ("500", 2)],
)
@pytest.mark.parametrize("ends", [True, False])
def test_an_http_status_becomes_one_of_grpc(http: str, status: int, ends: bool) -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        block = peer.block((":status", http), ("content-type", "text/html"))
        peer.send(frames.header_frames(peer.request(), block, 16_384, last=ends))
        peer.linger()

    call = _one_call(script).ended[0]
    assert (call.status, http in call.message) == (status, True)


def test_a_page_instead_of_an_answer_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        block = peer.block((":status", "200"), ("content-type", "text/html"))
        peer.send(frames.header_frames(peer.request(), block, 16_384, last=False))
        peer.linger()

    call = _one_call(script).ended[0]
    assert (call.status, "text/html" in call.message) == (2, True)


def test_headers_that_only_inform_are_passed_over() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        number = peer.request()
        early = peer.block((":status", "103"))
        peer.send(frames.header_frames(number, early, 16_384, last=False), peer.answer(number))
        peer.linger()

    assert _one_call(script).ended[0].status == 0


def test_trailers_alone_are_an_answer_and_their_message_is_decoded() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        block = peer.block(
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "5"),
            ("grpc-message", "50%25 %E2%82%AC %zz"),
        )
        peer.send(frames.header_frames(peer.request(), block, 16_384, last=True))
        peer.linger()

    call = _one_call(script).ended[0]
    assert (call.status, call.message) == (5, "50% € %zz")


def test_statuses_that_are_no_codes_are_unknown() -> None:
    def script(peer: Peer) -> None:
        peer.greet()
        for told in ("9" * 5000, "one"):
            block = peer.block((":status", "200"), ("grpc-status", told))
            peer.send(frames.header_frames(peer.request(), block, 16_384, last=True))
        peer.linger()

    with hostile_peer(script) as host, wire_calls(host) as wire:
        calls = [wire.call(b""), wire.call(b"")]
    assert statuses(calls) == [2, 2]
    assert [call.message[:31] for call in calls] == [
        "the server sent the status '999",
        "the server sent the status 'one",
    ]


def _ends(*parts: Callable[[Peer, int], bytes]) -> Script:
    def script(peer: Peer) -> None:
        peer.greet()
        number = peer.request()
        peer.send(*(part(peer, number) for part in parts))
        peer.linger()

    return script


def _head(peer: Peer, number: int) -> bytes:
    return frames.header_frames(number, peer.head(), 16_384, last=False)


def _well(peer: Peer, number: int) -> bytes:
    return frames.header_frames(number, peer.trailers(), 16_384, last=True)


def _data(payload: bytes, flags: int = 0) -> Callable[[Peer, int], bytes]:
    return lambda _peer, number: frames.frame(frames.DATA, flags, number, payload)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (_ends(_head, _well), "0 messages instead of one"),
        (_ends(_head, _data(prefixed(b"") * 2), _well), "2 messages instead of one"),
        (_ends(_head, _data(prefixed(b"abc")[:-1]), _well), "not complete"),
        (_ends(_head, _data(prefixed(b"abc"), 1)), "without a status"),
        (_ends(_head, _data(prefixed(b"abc", flag=1)), _well), "encoding is identity"),
        (_ends(lambda _peer, number: frames.window_update(number, 0)), "WINDOW_UPDATE"),
        (_ends(lambda _peer, number: frames.window_update(number, 0x7FFFFFFF)), "WINDOW_UPDATE"),
    ],
)
def test_answers_that_make_no_sense_are_internal_errors(script: Script, told: str) -> None:
    call = _one_call(script).ended[0]
    assert call.status == 13
    assert told in call.message


def test_a_compressed_answer_is_unpacked_whoever_asked_for_it() -> None:
    packed = prefixed(gzip.compress(b"hello"), flag=1)

    def script(peer: Peer) -> None:
        peer.greet()
        number = peer.request()
        block = peer.block(
            (":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")
        )
        head = frames.header_frames(number, block, 16_384, last=False)
        peer.send(head, frames.frame(frames.DATA, 0, number, packed), _well(peer, number))
        peer.linger()

    assert _one_call(script).ended[0].response == b"hello"


@pytest.mark.parametrize(
    ("greeting", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1: HTTP/1.1 400 Bad Request"),
        (b"\x15\x03\x01\x00\x02\x02\x28" + b"\0" * 9, "wants TLS"),
        (frames.frame(frames.PING, 0, 0, b"12345678"), "no SETTINGS"),
        (frames.frame(frames.SETTINGS, 0, 0, b"1"), "odd length"),
        (b"220 smtp.test ESMTP, and much more of that\r\n", "cannot connect"),
        (b"", "closed the connection|connection broke"),
    ],
)
def test_what_does_not_speak_http2_is_told_before_anything_is_called(
    greeting: bytes, told: str
) -> None:
    def script(peer: Peer) -> None:
        peer.send(greeting)

    with hostile_peer(script) as host, pytest.raises(LoadError, match=told) as error:
        wire_calls(host, connect_timeout=2.0).__enter__()
    assert host in error.value.problem
    assert error.value.hint


def test_a_dead_port_and_a_wrong_name_are_told_at_once() -> None:
    with hostile_peer(_answers) as host:
        pass
    with pytest.raises(LoadError, match=r"cannot connect to .*refused \(is the server"):
        wire_calls(host).__enter__()
    with pytest.raises(LoadError, match=r"'no-such-host\.invalid' has no address"):
        wire_calls("no-such-host.invalid:50051").__enter__()


@pytest.mark.parametrize("host", ["", ":80", "a:b", "host:0", "host:70000", "unix:"])
def test_targets_that_are_none_are_refused(host: str) -> None:
    with pytest.raises(LoadError, match="the host"):
        wire_calls(host).__enter__()


def test_calls_may_be_started_and_cancelled_by_who_hears_of_others() -> None:
    with hostile_peer(_answers) as host, wire_calls(host) as wire:
        others = [wire.start(b"") for _ in range(5)]

        def heard(call: object) -> None:
            wire.ended.append(call)  # type: ignore[arg-type]
            if len(wire.ended) == 1:
                for other in others[1:]:
                    wire.channel.cancel(other, 1, "enough")
                wire.start(b"")

        wire.channel.on_ended = heard
        wire.finish()
    assert statuses(wire.ended) == [0, 1, 1, 1, 1, 0]
    assert len(set(wire.ended)) == 6
