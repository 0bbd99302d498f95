"""What the wire is made of, piece by piece."""

from __future__ import annotations

import base64
import gzip
import os
import re
import resource
import socket
import struct

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire import frames
from tailrace.loadtest.wire.attempt import interleaved
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.frames import ConnectionFault
from tailrace.loadtest.wire.peer_settings import MOST_STREAMS, PeerSettings
from tailrace.loadtest.wire.poller import Poller
from tailrace.loadtest.wire.request_headers import (
    Form,
    RequestHeaders,
    grpc_timeout,
    metadata_block,
    request_headers,
)
from tailrace.loadtest.wire.stream import MAX_REPLAY_BYTES, MessageFault, Stream
from tailrace.loadtest.wire.target import Address, parse_target

_NS = 1_000_000_000
_COMMON = [
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/p.S/M"),
    (":authority", "there:1"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("user-agent", "tailrace-load"),
]


def _made(timeout_ns: int = 20 * _NS) -> RequestHeaders:
    return request_headers(
        path="/p.S/M", authority="there:1", scheme="https", timeout_ns=timeout_ns, gzip=False
    )


def _fields(decoder: Decoder, block: bytes) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in decoder.decode(block)]


def test_headers_mean_the_same_in_every_form() -> None:
    headers = _made()
    decoder = Decoder()
    whole = [*_COMMON, ("grpc-timeout", "20S")]
    for form in (Form.INSERTING, Form.INDEXED, Form.LITERAL, Form.INDEXED):
        assert _fields(decoder, headers.block(form, 20 * _NS)) == whole
    assert len(headers.blocks[Form.INDEXED]) == 8
    assert headers.table_bytes == decoder.header_table._current_size
    for form in (Form.INDEXED, Form.LITERAL):
        assert _fields(decoder, headers.block(form, 1_500_000_000)) == [
            *_COMMON,
            ("grpc-timeout", "1500m"),
        ]
        assert _fields(decoder, headers.block(form, 0)) == _COMMON
    decoder.max_allowed_table_size = 0
    for form in (Form.SHRINKING, Form.LITERAL):
        assert _fields(decoder, headers.block(form, 20 * _NS)) == whole


def test_calls_without_a_deadline_send_none() -> None:
    headers = _made(0)
    for form in (Form.INSERTING, Form.LITERAL):
        assert _fields(Decoder(), headers.block(form, 0)) == _COMMON


@given(st.integers(1, 10**19))
def test_a_timeout_is_never_shorter_than_it_is_and_has_eight_digits(timeout_ns: int) -> None:
    text = grpc_timeout(timeout_ns)
    units = {"n": 1, "u": 1000, "m": 10**6, "S": _NS, "H": 3600 * _NS}
    told = int(text[:-1]) * units[text[-1]]
    assert len(text) <= 9
    assert timeout_ns <= told
    assert told - timeout_ns <= max(timeout_ns // 10_000, units[text[-1]] - 1)


@pytest.mark.parametrize("name", ["x y", "", "é", "x:y"])
def test_names_that_are_no_headers_are_refused(name: str) -> None:
    with pytest.raises(LoadError, match="no name"):
        metadata_block(((name, "1"),))


@given(st.binary(max_size=300))
def test_long_values_are_encoded_as_hpack_has_them(value: bytes) -> None:
    ((name, text),) = _fields(Decoder(), metadata_block((("x-bin", value),)))
    assert name == "x-bin"
    assert base64.b64decode(text + "=" * (-len(text) % 4)) == value


def _stream() -> Stream:
    return Stream(Call(0, 0, 0), Request(()), last=False)


@given(st.lists(st.binary(max_size=50)), st.data())
def test_messages_come_whole_however_they_are_cut(
    messages: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(b"\0" + len(each).to_bytes(4, "big") + each for each in messages)
    stream = _stream()
    got: list[bytes] = []
    while whole:
        cut = data.draw(st.integers(1, len(whole)))
        got += stream.messages(whole[:cut], None)
        assert stream.torn or got == messages[: len(got)]
        whole = whole[cut:]
    assert got == messages
    assert not stream.torn


def test_what_cannot_be_unpacked_is_told() -> None:
    packed = gzip.compress(b"a" * 1000)
    for broken, told in ((packed[:-3], "too early"), (b"nothing", "no gzip")):
        stream = _stream()
        stream.encoding = "gzip"
        prefix = b"\1" + len(broken).to_bytes(4, "big")
        with pytest.raises(MessageFault, match=told):
            list(stream.messages(prefix + broken, None))


def test_a_message_beyond_the_limit_is_refused_before_it_is_there() -> None:
    with pytest.raises(MessageFault, match="5000 bytes came, and 100 may") as fault:
        list(_stream().messages(b"\0" + (5000).to_bytes(4, "big"), 100))
    assert fault.value.too_large


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 30)))
def test_parts_are_what_was_added(pieces: list[bytes], rooms: list[int]) -> None:
    stream = _stream()
    stream.unsent.extend(pieces)
    got = b""
    for room in rooms:
        part = stream.part(room)
        assert len(part) == min(room, len(b"".join(pieces)) - len(got))
        got += part
    assert got + stream.part(1 << 20) == b"".join(pieces)


def test_a_long_stream_is_not_kept_to_be_sent_again() -> None:
    stream = _stream()
    stream.add(b"x" * (MAX_REPLAY_BYTES + 1))
    assert stream.replay is not None, "it did not leave yet"
    with socket.socket() as unused:
        stream.connection = unused  # type: ignore[assignment]
        stream.add(b"y")
    assert stream.replay is None


@given(st.binary(max_size=100), st.integers(1, 30), st.booleans())
def test_long_blocks_and_payloads_are_split(content: bytes, limit: int, last: bool) -> None:
    for made in (
        frames.data_frames(5, content, limit, last=last),
        frames.header_frames(5, content, limit, last=last),
    ):
        got, ends = b"", []
        while made:
            kind, flags, stream = frames.HEAD.unpack_from(made)
            end = 9 + (kind >> 8)
            assert (stream, kind >> 8 <= limit) == (5, True)
            got, made = got + made[9:end], made[end:]
            ends.append((kind & 255, flags))
        assert got == content
        if ends[0][0] == frames.DATA:
            assert [flags & 1 for _, flags in ends] == [0] * (len(ends) - 1) + [int(last)]
        else:
            assert ends[0][1] & 1 == last
            assert [flags & 4 for _, flags in ends] == [0] * (len(ends) - 1) + [4]


def test_padding_beyond_the_payload_is_a_fault() -> None:
    assert frames.unpadded(frames.PADDED | frames.PRIORITY, b"\x02" + b"p" * 5 + b"ab\0\0") == b"ab"
    for payload in (b"", b"\x05abc"):
        with pytest.raises(ConnectionFault):
            frames.unpadded(frames.PADDED, payload)


@pytest.mark.parametrize(
    ("host", "name", "port", "authority"),
    [
        ("localhost:50051", "localhost", 50051, "localhost:50051"),
        ("example.test", "example.test", 443, "example.test:443"),
        ("[::1]:80", "::1", 80, "[::1]:80"),
        ("::1", "::1", 443, "[::1]:443"),
        ("dns:///a.test:1", "a.test", 1, "a.test:1"),
        ("dns://9.9.9.9/a.test:1", "a.test", 1, "a.test:1"),
        ("passthrough:///a.test:1", "a.test", 1, "a.test:1"),
        ("unix:/tmp/x", "localhost", 0, "localhost"),
        ("unix-abstract:x", "localhost", 0, "localhost"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "10.0.0.1", 1, "10.0.0.1:1"),
        ("ipv4:10.0.0.1", "10.0.0.1", 443, "10.0.0.1:443"),
        ("ipv6:[::1]:1,[::2]", "::1", 1, "[::1]:1"),
    ],
)
def test_targets_are_read_as_grpc_reads_them(
    host: str, name: str, port: int, authority: str
) -> None:
    target = parse_target(host)
    assert (target.host, target.port, target.authority) == (name, port, authority)


def test_addresses_of_a_list_keep_their_ports_and_their_order() -> None:
    assert [str(each) for each in parse_target("ipv4:10.0.0.2:1,10.0.0.1:2").resolve()] == [
        "10.0.0.2:1",
        "10.0.0.1:2",
    ]
    for host in ("ipv4:a.test:1", "ipv4:[::1]:1", "ipv6:10.0.0.1:1", "ipv4:", "ipv4:10.0.0.1:1,"):
        with pytest.raises(LoadError, match=re.escape(repr(host))):
            parse_target(host)


def test_addresses_of_both_families_are_tried_in_turns() -> None:
    four = [Address(socket.AF_INET, (f"10.0.0.{place}", 1)) for place in range(4)]
    six = [Address(socket.AF_INET6, (f"::{place}", 1, 0, 0)) for place in range(2)]
    assert interleaved([*six, *four]) == [six[0], four[0], six[1], four[1], four[2], four[3]]
    assert interleaved([four[0], *six]) == [four[0], six[0], six[1]]
    assert interleaved(four) == four
    assert interleaved([]) == []


def test_sockets_with_large_numbers_are_waited_for() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1100:
        pytest.skip("so many files may not be open")
    poller = Poller[str]()
    left, right = socket.socketpair()
    with left, right:
        high = os.dup2(left.fileno(), 1099)
        try:
            poller.add(high, "high")
            assert poller.wait(0.001) == ([], [])
            right.send(b"x")
            assert poller.wait(5.0) == (["high"], [])
            poller.watch_writes(high, wanted=True)
            assert poller.wait(5.0) == (["high"], ["high"])
            poller.remove(high)
            assert poller.wait(0) == ([], [])
        finally:
            poller.close()
            os.close(high)


def test_a_peer_that_allows_any_number_of_streams_is_not_given_all_numbers_at_once() -> None:
    peer = PeerSettings()
    assert peer.max_streams == MOST_STREAMS
    for allowed, taken in ((100, 100), (0xFFFFFFFF, MOST_STREAMS), (0, 0)):
        peer.read(struct.pack(">HI", frames.MAX_CONCURRENT_STREAMS, allowed))
        assert peer.max_streams == taken
