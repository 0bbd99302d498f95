"""A connection from the first attempt until it is gone."""

from __future__ import annotations

import socket

from tailrace.loadtest.wire import frames
from tailrace.loadtest.wire.connection import Connection
from tailrace.loadtest.wire.dial import Dial
from tailrace.loadtest.wire.frame_reader import FrameReader
from tailrace.loadtest.wire.frames import ConnectionFault
from tailrace.loadtest.wire.owner import Owner
from tailrace.loadtest.wire.poller import Poller
from tailrace.loadtest.wire.target import Address

_NS = 1_000_000_000


class Link:
    """One connection: dialled, then greeted, then standing.

    Attributes:
        connection: None while it is dialled.
        stands_ns: since when it has stood; 0 if it does not yet.
        closed: it is not to be read any more.
    """

    def __init__(self, owner: Owner, poller: Poller[Link], dial: Dial) -> None:
        self.connection: Connection | None = None
        self.stands_ns = 0
        self.closed = False
        self._owner, self._poller, self._dial = owner, poller, dial
        self._reader: FrameReader | None = None
        self._socket: socket.socket | None = None
        self._pinged_ns = 0

    def advance(self) -> None:
        """Dials on, as far as that goes without waiting.

        Raises:
            ConnectionFault: the address cannot be reached.
        """
        self._unwatch()
        connected = self._dial.advance()
        if connected is not None:
            self.connection = Connection(self._owner, connected)
            self._reader = FrameReader(self.connection)
            self._watch(connected, writes=False)
        elif self._dial.socket is not None:
            self._watch(self._dial.socket, writes=self._dial.wants_write)

    @property
    def address(self) -> Address:
        """What it connects to."""
        return self._dial.address

    @property
    def late(self) -> str:
        """What is said if it does not stand in time."""
        what = "connecting" if self.connection is None else "an answer in HTTP/2"
        return f"{what} takes too long"

    def read(self) -> int:
        """Reads what has come, and returns how many bytes that was.

        Raises:
            ConnectionFault: the connection is gone, or came not about.
        """
        if self._reader is not None:
            return self._reader.read()
        self.advance()
        return 0

    def flush(self) -> int:
        """Sends what is waiting, and returns how many bytes went out.

        Raises:
            ConnectionFault: the connection is gone, or came not about.
        """
        connection = self.connection
        if connection is None:
            self.advance()
            return 0
        sent = connection.flush()
        self.watch_writes()
        return sent

    def watch_writes(self) -> None:
        """Waits for room to write as long as something did not go out."""
        if self._socket is not None and self.connection is not None:
            wanted = self.connection.pipe.backlog is not None
            self._poller.watch_writes(self._socket.fileno(), wanted=wanted)

    def keep_alive(self, now: int, every_ns: int) -> int:
        """Sends a ping if nothing came for a while, and returns when to look again.

        As in gRPC for Go, only while there are calls, and the ping has as long to be answered.

        Raises:
            ConnectionFault: the last ping was not answered in time.
        """
        connection = self.connection
        if connection is None or not connection.calls:
            return now + every_ns
        if connection.heard_ns > self._pinged_ns:
            self._pinged_ns = 0
        due_ns = (self._pinged_ns or connection.heard_ns) + every_ns
        if now < due_ns:
            return due_ns
        if self._pinged_ns:
            raise ConnectionFault(f"a keepalive ping had no answer within {every_ns / _NS:g} s")
        self._pinged_ns = now
        connection.put(frames.frame(frames.PING, 0, 0, b"tailrace"))
        return now + every_ns

    def close(self, code: int = frames.NO_ERROR, text: str = "") -> None:
        """Takes leave of the peer, as far as it listens, and closes the socket."""
        self.closed = True
        self._unwatch()
        self._dial.close()
        if self.connection is not None:
            self.connection.put(frames.goaway(code, text))
            self.connection.pipe.close()

    def _watch(self, watched: socket.socket, *, writes: bool) -> None:
        self._socket = watched
        self._poller.add(watched.fileno(), self)
        self._poller.watch_writes(watched.fileno(), wanted=writes)

    def _unwatch(self) -> None:
        if self._socket is not None:
            self._poller.remove(self._socket.fileno())
        self._socket = None
