"""A call that needs more than a place in its connection's table."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire.call import Call

if TYPE_CHECKING:
    from tailrace.loadtest.wire.connection import Connection

# What was sent is kept so long, to be sent again if the server did not look at it.
MAX_REPLAY_BYTES = 262_144
_GZIP = 16 + zlib.MAX_WBITS


class MessageFault(Exception):
    """A message that the caller cannot take.

    Attributes:
        too_large: True if it exceeds the limit; False if it is broken.
    """

    def __init__(self, problem: str, *, too_large: bool) -> None:
        super().__init__(problem)
        self.too_large = too_large


class Stream:
    """The wire's state of a call that waits, streams, or did not fit into one frame each way.

    Attributes:
        call: whose it is.
        request: what it was made with.
        connection: where it is; None while it waits for one.
        number: its HTTP/2 stream id there.
        window: bytes that the peer takes before it gives more.
        unsent: framed messages, or rests of them, that did not go out yet.
        closing: the caller's side is closed once they have.
        closed: it is closed.
        replay: messages sent after the request's, kept in case all has to be sent again; None
            when that is not possible any more.
        retries: how often it was.
        received: bytes of DATA that the peer was not given back yet.
        encoding: how messages with the compressed flag are compressed.
    """

    __slots__ = (
        "_partial",
        "_replay_bytes",
        "call",
        "closed",
        "closing",
        "connection",
        "encoding",
        "number",
        "received",
        "replay",
        "request",
        "retries",
        "unsent",
        "window",
    )

    def __init__(self, call: Call, request: Request, *, last: bool) -> None:
        self.call = call
        self.request = request
        self.connection: Connection | None = None
        self.number = 0
        self.window = 0
        self.unsent: deque[bytes | memoryview] = deque()
        self.closing = last
        self.closed = False
        self.replay: list[bytes] | None = []
        self.retries = 0
        self.received = 0
        self.encoding = "identity"
        self._partial = bytearray()
        self._replay_bytes = 0

    def add(self, framed: bytes) -> None:
        """Takes one more message to send."""
        if self.connection is not None:
            self.unsent.append(framed)
        if self.replay is not None:
            self._replay_bytes += len(framed)
            if self.connection is not None and self._replay_bytes > MAX_REPLAY_BYTES:
                self.replay = None
            else:
                self.replay.append(framed)

    def send(self, framed: bytes, *, last: bool) -> None:
        """Sends one more message, as far as the peer's window lets it, and may close after it."""
        self.add(framed)
        self.closing = last
        if self.connection is not None:
            self.connection.pump(self)

    def close(self) -> None:
        """Closes the caller's side, once what waits has been sent."""
        self.closing = True
        if self.connection is not None:
            self.connection.pump(self)

    def begin(self, connection: Connection, number: int, window: int, payload: bytes) -> None:
        """Goes to a connection, with the request's messages and all that were added since."""
        self.connection, self.number, self.window = connection, number, window
        self.unsent.clear()
        if payload:
            self.unsent.append(payload)
        self.unsent.extend(self.replay or ())
        self.closed = False
        self.received = 0
        self._partial.clear()

    def part(self, room: int) -> bytes:
        """Takes what is to be sent next: no more than `room` bytes."""
        taken: list[bytes | memoryview] = []
        while self.unsent and room:
            piece = self.unsent.popleft()
            if len(piece) > room:
                view = memoryview(piece)
                self.unsent.appendleft(view[room:])
                piece = view[:room]
            taken.append(piece)
            room -= len(piece)
        return b"".join(taken)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the peer's window, or for a connection."""
        waiting = self.unsent if self.connection is not None else self.replay or ()
        return sum(map(len, waiting))

    def messages(self, data: bytes, limit: int | None) -> Iterator[bytes]:
        """Yields the messages that are complete with this payload of a DATA frame.

        Args:
            data: the payload, without padding.
            limit: largest message in bytes, as sent and as unpacked; None for none.

        Raises:
            MessageFault: a message is too large, or cannot be unpacked.
        """
        partial = self._partial
        partial += data
        while len(partial) >= 5:
            size = int.from_bytes(partial[1:5], "big")
            if limit is not None and size > limit:
                raise MessageFault(
                    f"a message of {size} bytes came, and {limit} may", too_large=True
                )
            if len(partial) < 5 + size:
                return
            flag, message = partial[0], bytes(partial[5 : 5 + size])
            del partial[: 5 + size]
            yield self._unpacked(message, limit) if flag else message

    @property
    def torn(self) -> bool:
        """True if a message began and did not end."""
        return bool(self._partial)

    def _unpacked(self, message: bytes, limit: int | None) -> bytes:
        if self.encoding != "gzip":
            raise MessageFault(
                f"a compressed message came, and its encoding is {self.encoding}", too_large=False
            )
        unpacker = zlib.decompressobj(_GZIP)
        try:
            unpacked = unpacker.decompress(message, limit + 1 if limit is not None else 0)
        except zlib.error as error:
            raise MessageFault(f"a message is no gzip: {error}", too_large=False) from error
        if limit is not None and len(unpacked) > limit:
            raise MessageFault(
                f"a message of more than {limit} bytes came, unpacked", too_large=True
            )
        if not unpacker.eof:
            raise MessageFault("a message of gzip ends too early", too_large=False)
        return unpacked
