"""The connections of one process to one target."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable

from hpack import Decoder, Encoder
from hpack.struct import NeverIndexedHeaderTuple

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire.call import Call

_HEAD = struct.Struct(">IBI")
_PREFACE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + _HEAD.pack(24 << 8 | 4, 0, 0)
    + struct.pack(">HIHIHIHI", 1, 0, 4, 0x7FFFFFFF, 2, 0, 3, 0)
    + _HEAD.pack(4 << 8 | 8, 0, 0)
    + (0x7FFF0000).to_bytes(4, "big")
)


class Channel:
    """Implements `ChannelApi`. In the making: unary calls in plaintext, in good weather."""

    on_ended: Callable[[Call], None]
    on_message: Callable[[Call, bytes], None] | None = None

    def __init__(
        self,
        options: LoadOptions,
        method: MethodSpec,
        *,
        connections: int = 1,
        keep_responses: bool = False,
    ) -> None:
        """Describes it; `connect` connects it."""
        self.bytes_sent = 0
        self.bytes_received = 0
        self.keep = keep_responses
        self._options, self._count = options, connections
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method.path),
            (":authority", options.authority or options.host),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self.block: bytes = Encoder().encode([NeverIndexedHeaderTuple(*h) for h in headers])
        self._connections: list[_Connection] = []
        self._by_fd: dict[int, _Connection] = {}
        self._turn = 0

    def connect(self) -> None:
        """Sets up all connections."""
        host, _, port = self._options.host.rpartition(":")
        for _ in range(self._count):
            try:
                plain = socket.create_connection((host, int(port)), self._options.connect_timeout)
            except OSError as error:
                raise LoadError(f"{self._options.host}: {error.strerror or error}") from error
            self._connections.append(_Connection(self, plain))
        self._by_fd = {each.socket.fileno(): each for each in self._connections}

    def start(self, call: Call, request: Request, *, last: bool) -> None:
        """Makes a call."""
        self._turn = (self._turn + 1) % self._count
        self._connections[self._turn].start(call, request)

    def send(self, call: Call, message: bytes, *, last: bool) -> None:
        """Sends one more message of a stream."""
        raise NotImplementedError

    def close_sending(self, call: Call) -> None:
        """Closes the caller's side of a stream."""
        raise NotImplementedError

    def cancel(self, call: Call, status: int, message: str) -> None:
        """Ends a call here and now."""
        if call.status == -1:
            call.status, call.message, call.ended_ns = status, message, time.monotonic_ns()
            self.on_ended(call)

    def poll(self, wait_s: float) -> None:
        """Sends what is waiting, then reads what comes, or waits for it."""
        for connection in self._connections:
            connection.flush()
        for fd in select.select(self._by_fd, [], [], wait_s)[0]:
            self._by_fd[fd].read()

    def close(self) -> None:
        """Closes all connections."""
        for connection in self._connections:
            connection.socket.close()


class _Connection:
    def __init__(self, channel: Channel, plain: socket.socket) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setblocking(False)
        self.socket = plain
        self._channel = channel
        self._out = [_PREFACE]
        self._next = 1
        self._calls: dict[int, Call] = {}
        self._rest = b""
        self._decoder = Decoder()
        self._known: dict[bytes, dict[str, str]] = {}
        self._head = (len(channel.block) << 8 | 1).to_bytes(4, "big") + b"\x04"

    def start(self, call: Call, request: Request) -> None:
        sid = self._next
        self._next = sid + 2
        self._calls[sid] = call
        place = sid.to_bytes(4, "big")
        body = b"".join(b"\0" + len(each).to_bytes(4, "big") + each for each in request.messages)
        data = (len(body) << 8).to_bytes(4, "big") + b"\x01" + place + body
        self._out.append(self._head + place + self._channel.block + data)

    def flush(self) -> None:
        if self._out:
            self._channel.bytes_sent += self.socket.send(b"".join(self._out))
            self._out.clear()

    def read(self) -> None:
        data = self.socket.recv(262144)
        now = time.monotonic_ns()
        self._channel.bytes_received += len(data)
        buffer, position = self._rest + data, 0
        while len(buffer) - position >= 9:
            kind, flags, sid = _HEAD.unpack_from(buffer, position)
            end = position + 9 + (kind >> 8)
            if end > len(buffer):
                break
            self._frame(kind & 255, flags, sid, buffer[position + 9 : end], now)
            position = end
        self._rest = buffer[position:]

    def _frame(self, kind: int, flags: int, sid: int, body: bytes, now: int) -> None:
        call = self._calls.get(sid)
        if kind == 0 and call is not None:
            call.responses += 1
            if self._channel.keep:
                call.response = body[5:]
            if self._channel.on_message is not None:
                self._channel.on_message(call, body[5:])
        elif kind == 1:
            headers = self._known.get(body)
            if headers is None:
                decoded = self._decoder.decode(body)
                headers = self._known[body] = {str(name): str(value) for name, value in decoded}
            if flags & 1 and call is not None:
                del self._calls[sid]
                call.status = int(headers.get("grpc-status", "2"))
                call.message = headers.get("grpc-message", "")
                call.ended_ns = now
                self._channel.on_ended(call)
        elif kind == 4 and not flags & 1:
            self._out.append(_HEAD.pack(4, 1, 0))
        elif kind == 6 and not flags & 1:
            self._out.append(_HEAD.pack(8 << 8 | 6, 1, 0) + body)
