"""A Logstash that takes connections, and reads only when it is told to."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

# The kernel takes no more than that for it, so that its clients notice soon.
_RECEIVE_BYTES = 16 * 1024


class HangingLogstash:
    """Lines over TCP, as the `tcp` input with the codec `json_lines` takes them.

    Attributes:
        reads: whether it does; may be changed at any time.
    """

    def __init__(self) -> None:
        """Listens, and reads nothing yet."""
        self.reads = False
        self._received: dict[socket.socket, bytearray] = {}
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._ends = threading.Event()
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="logstash")
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, as TAILRACE_LOG_TCP takes it."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many connections were ever made to it."""
        with self._changing:
            return len(self._received)

    def lines(self) -> set[bytes]:
        """Returns the whole lines that have come, each once: what broke off is sent again."""
        with self._changing:
            return {
                line for data in self._received.values() for line in bytes(data).split(b"\n")[:-1]
            }

    def close(self) -> None:
        """Ends it."""
        self._ends.set()
        self._thread.join()
        self._listener.close()
        for connection in self._received:
            connection.close()

    def _run(self) -> None:
        open_ones: set[socket.socket] = set()
        while not self._ends.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                for connection in open_ones if self.reads else ():
                    selector.register(connection, selectors.EVENT_READ)
                for key, _ in selector.select(0.05):
                    if key.fileobj is self._listener:
                        accepted, _ = self._listener.accept()
                        open_ones.add(accepted)
                        with self._changing:
                            self._received[accepted] = bytearray()
                    elif isinstance(key.fileobj, socket.socket) and not self._take(key.fileobj):
                        open_ones.discard(key.fileobj)

    def _take(self, connection: socket.socket) -> bool:
        """Returns whether the connection is still open."""
        try:
            data = connection.recv(1024 * 1024)
        except OSError:
            return False
        with self._changing:
            self._received[connection] += data
        return bool(data)


@contextlib.contextmanager
def hanging_logstash() -> Iterator[HangingLogstash]:
    """Runs one until the body is left."""
    logstash = HangingLogstash()
    try:
        yield logstash
    finally:
        logstash.close()
