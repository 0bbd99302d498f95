"""What has to hold between the load tool's wire and a server of grpc-java."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from google.protobuf.wrappers_pb2 import BytesValue

from tailrace.loadtest.wire.call import Call
from tests.support.java_interop.java_echo import JavaEcho
from tests.support.load_servers import Certificates
from tests.support.wire_calls import WireCalls

_MIB = 1 << 20
_OK, _DEADLINE_EXCEEDED, _RESOURCE_EXHAUSTED = 0, 4, 8
_ANSWERS = 5
# The smallest window that HTTP/2 begins with.
_SMALL_WINDOW = 65_535

KINDS = ("Say", "Collect", "Repeat", "Chat")

Check = Callable[[Path, Certificates | None], None]


def each_call_gets_its_own_answers(jar: Path, tls: Certificates | None) -> None:
    """Many calls of each kind at a time, each with messages of its own."""
    server = JavaEcho(jar, tls)
    sent = 0
    for kind in KINDS:
        with server.wire(kind, connections=3) as wire:
            streams = [_messages(f"{kind} {place}", _sent(kind, 5)) for place in range(200)]
            sent += sum(map(len, streams))
            _answered(wire, kind, streams)
    served = server.end()
    _expect(served.calls == 200 * len(KINDS), f"{served.calls} calls reached it")
    _expect(served.messages == sent, f"it read {served.messages} messages of {sent}")


def large_messages_pass_windows_of_any_size(jar: Path, tls: Certificates | None) -> None:
    """1 to 4 MiB each way, several calls at a time: fixed windows, small ones, and its own."""
    for flags in ({"fixed_window": _SMALL_WINDOW}, {"initial_window": 8 * _MIB}, {}):
        server = JavaEcho(jar, tls, max_message=5 * _MIB, **flags)
        for kind in KINDS:
            with server.wire(kind, connections=2, max_recv_message_size=5 * _MIB) as wire:
                sizes = [_MIB, 4 * _MIB] if _sent(kind, 2) > 1 else [2 * _MIB]
                streams = [[_large(size, place) for size in sizes] for place in range(3)]
                _answered(wire, kind, streams)
        server.end()


def too_large_messages_are_refused_alone(jar: Path, tls: Certificates | None) -> None:
    """Beyond the server's limit, and beyond ours; calls beside them are answered."""
    server = JavaEcho(jar, tls, max_message=_MIB)
    with server.wire("Say", max_recv_message_size=_MIB // 2) as wire:
        small = [wire.start(_serialised(b"small")) for _ in range(10)]
        beyond_its_limit = wire.start(_large(2 * _MIB, 1))
        beyond_ours = wire.start(_large(3 * _MIB // 4, 2))
        small += [wire.start(_serialised(b"small")) for _ in range(10)]
        wire.finish()
        for call in (beyond_its_limit, beyond_ours):
            _expect(call.status == _RESOURCE_EXHAUSTED, f"{call.status}: {call.message}")
        _all_ok(small)
    server.end()


def compressed_messages_are_understood(jar: Path, tls: Certificates | None) -> None:
    """gzip in both directions."""
    server = JavaEcho(jar, tls, gzip="true")
    for kind in KINDS:
        with server.wire(kind, enable_compression=True) as wire:
            streams = [[_serialised(b"again and " * 5000)] * _sent(kind, 3) for _ in range(20)]
            _answered(wire, kind, streams)
            received = wire.channel.bytes_received
            _expect(received < 20 * 50_000, f"{received} bytes came: they are not compressed")
    server.end()


def few_streams_at_a_time_are_kept_to(jar: Path, tls: Certificates | None) -> None:
    """With MAX_CONCURRENT_STREAMS of three, 300 calls at once are answered, none refused."""
    server = JavaEcho(jar, tls, max_streams=3)
    for kind in KINDS:
        with server.wire(kind) as wire:
            _answered(wire, kind, [_messages(f"{n}", _sent(kind, 5)) for n in range(300)])
    served = server.end()
    _expect(served.calls == 300 * len(KINDS), f"{served.calls} calls reached it")
    _expect(served.connections == len(KINDS), f"{served.connections} connections")


def a_late_stream_ends_and_others_go_on(jar: Path, tls: Certificates | None) -> None:
    """A stream that nobody closes ends with its deadline; the connection serves on."""
    server = JavaEcho(jar, tls)
    with server.wire("Chat", timeout=1.0) as wire:
        open_ended = [wire.start(_serialised(b"open"), last=False) for _ in range(5)]
        wire.finish(*open_ended)
        _expect({call.status for call in open_ended} == {_DEADLINE_EXCEEDED}, "no deadline")
    with server.wire("Chat") as wire:
        _answered(wire, "Chat", [_messages("after", 3)])
    server.end()


CHECKS: Sequence[Check] = (
    each_call_gets_its_own_answers,
    large_messages_pass_windows_of_any_size,
    too_large_messages_are_refused_alone,
    compressed_messages_are_understood,
    few_streams_at_a_time_are_kept_to,
    a_late_stream_ends_and_others_go_on,
)


def _answered(wire: WireCalls, kind: str, streams: Sequence[Sequence[bytes]]) -> None:
    calls = [wire.start(*messages) for messages in streams]
    wire.finish()
    _all_ok(calls)
    for call, messages in zip(calls, streams, strict=True):
        same = wire.messages[call] == _expected(kind, messages)
        _expect(same, f"{kind}: call {call.number} got other messages than it should")


def _expected(kind: str, messages: Sequence[bytes]) -> list[bytes]:
    if kind in ("Say", "Collect"):
        return [messages[-1]]
    return list(messages) * (_ANSWERS if kind == "Repeat" else 1)


def _sent(kind: str, several: int) -> int:
    return several if kind in ("Collect", "Chat") else 1


def _messages(text: str, count: int) -> list[bytes]:
    return [_serialised(f"{text}, {place}".encode()) for place in range(count)]


def _large(size: int, seed: int) -> bytes:
    # Bytes that a mistake in their order would show in.
    return _serialised(random.Random(seed).randbytes(size))


def _serialised(value: bytes) -> bytes:
    return BytesValue(value=value).SerializeToString()


def _all_ok(calls: Sequence[Call]) -> None:
    for call in calls:
        _expect(call.status == _OK, f"call {call.number}: {call.status}, {call.message}")


def _expect(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)
