"""Log lines over TCP, to Logstash's `tcp` input with the `json_lines` codec.

The libraries for this keep what waits in memory without a bound, or in a database on disk. This one
has the bounds of its `LineWriter`. A batch that was being sent when a connection broke is sent
again on the next one, so a line may come twice; no line is cut.
"""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections.abc import Sequence

CONNECT_TIMEOUT_S = 2.0
# A receiver that takes nothing for as long is given up, and called anew.
SEND_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
WAIT_S = 0.25
# Else the kernel keeps megabytes for a receiver that hangs, and again for each connection that was
# given up: what it has taken is no longer counted if it is lost.
SEND_BUFFER_BYTES = 128 * 1024


class TcpOutput:
    """One connection, made anew with growing pauses whenever it breaks."""

    name = "tcp"

    def __init__(self, host: str, port: int) -> None:
        """Keeps the address; the first lines will connect."""
        self._address = host, port
        self._socket: socket.socket | None = None
        self._data = b""
        self._sent = 0
        self._taken_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._hurries = threading.Event()

    def write(self, lines: Sequence[bytes]) -> bool:
        """Takes lines; False as long as the receiver is away or takes nothing.

        Raises:
            OSError: it is away, and the process ends.
        """
        if not self._data:
            self._data = b"".join(lines)
        try:
            connection = self._connected()
            if not self._send(connection):
                return False
        except OSError:
            self._break_off()
            if self._hurries.is_set():
                raise
            return False
        self._data, self._sent = b"", 0
        return True

    def tick(self) -> None:
        """Notices an end that the receiver has put to the connection."""
        if self._socket is not None and _is_ended(self._socket):
            self._break_off(pause=False)

    def hurry(self) -> None:
        """Cuts pauses short; called from another thread."""
        self._hurries.set()

    def close(self) -> None:
        """Closes the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None:
            if not _is_ended(self._socket):
                return self._socket
            self._break_off(pause=False)
        connection = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        connection.setblocking(False)
        self._taken_s = time.monotonic()
        self._socket = connection
        return connection

    def _send(self, connection: socket.socket) -> bool:
        poll = select.poll()
        poll.register(connection, select.POLLOUT)
        while self._sent < len(self._data):
            if not poll.poll(WAIT_S * 1000):
                if time.monotonic() - self._taken_s > SEND_TIMEOUT_S:
                    raise TimeoutError("the receiver takes nothing")
                return False
            try:
                self._sent += connection.send(self._data[self._sent :])
            except BlockingIOError:
                return False
            self._taken_s = time.monotonic()
            self._pause_s = FIRST_PAUSE_S
        return True

    def _break_off(self, *, pause: bool = True) -> None:
        self.close()
        self._sent = 0
        if not pause:
            return
        # Apart from each other: all processes lose Logstash at the same moment.
        self._hurries.wait(self._pause_s * random.uniform(0.5, 1.0))
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


def _is_ended(connection: socket.socket) -> bool:
    """Returns whether the other end has closed; what it said is of no interest."""
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
