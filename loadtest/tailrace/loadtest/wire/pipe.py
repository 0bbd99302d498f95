"""Bytes to and from a non-blocking socket, plain or TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl

from tailrace.loadtest.wire.frames import ConnectionFault

_RECEIVE_BYTES = 262_144
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Pipe:
    """A socket whose handshake is done.

    Attributes:
        socket: the socket.
        out: what is sent next.
        backlog: what was handed to the socket, and what it did not take; None if it took all.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.out: list[bytes] = []
        self.backlog: memoryview | None = None
        self._tls = isinstance(connected, ssl.SSLSocket)

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken yet."""
        return sum(map(len, self.out)) + (len(self.backlog) if self.backlog is not None else 0)

    def flush(self) -> int:
        """Sends what is waiting, as far as the socket takes it; returns how many bytes that was.

        Raises:
            ConnectionFault: the connection is gone.
        """
        out, total = self.out, 0
        while out or self.backlog is not None:
            data = self.backlog
            if data is None:
                data = memoryview(b"".join(out))
                out.clear()
            try:
                sent = self.socket.send(data)
            except _LATER:
                sent = 0
            except OSError as error:
                self.backlog = None
                raise _broken(error) from error
            total += sent
            if sent < len(data):
                self.backlog = data[sent:]
                break
            self.backlog = None
        return total

    def close(self) -> None:
        """Sends what the socket takes of what is waiting, and closes it."""
        # Who has left already is told nothing.
        with contextlib.suppress(ConnectionFault):
            self.flush()
        self.out.clear()
        self.backlog = None
        self.socket.close()

    def receive(self) -> bytes | None:
        """Returns what has come: empty at the end; None if it was nothing yet.

        Raises:
            ConnectionFault: the connection is gone.
        """
        try:
            if not self._tls:
                return self.socket.recv(_RECEIVE_BYTES)
            return self._decrypted()
        except _LATER:
            return None
        except OSError as error:
            raise _broken(error) from error

    def _decrypted(self) -> bytes:
        # What TLS keeps in a buffer of its own would wake nobody up.
        parts = [self.socket.recv(_RECEIVE_BYTES)]
        try:
            while parts[-1]:
                parts.append(self.socket.recv(_RECEIVE_BYTES))
        except _LATER:
            pass
        return b"".join(parts)


def _broken(error: OSError) -> ConnectionFault:
    return ConnectionFault(f"the connection broke: {error.strerror or error}")
