"""An attempt to connect, which waits for nothing: it goes on when its socket is ready."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Iterable

from tailrace.loadtest.wire.frames import ConnectionFault
from tailrace.loadtest.wire.target import Address


class Dial:
    """Tries addresses one after the other, up to the end of TLS' handshake.

    Attributes:
        socket: the one that is tried now; None when there is no address left.
        wants_write: it goes on when there is room to write; else, when there is something to read.
    """

    def __init__(
        self, addresses: Iterable[Address], context: ssl.SSLContext | None, server_name: str
    ) -> None:
        """Describes it; `advance` begins.

        Args:
            addresses: to be tried in this order.
            context: for TLS; None for plaintext.
            server_name: that certificates are checked against.
        """
        self.socket: socket.socket | None = None
        self.wants_write = True
        self._left = deque(addresses)
        self._context, self._server_name = context, server_name
        self._address: Address | None = None
        self._handshaking = False
        self._faults: list[str] = []

    def advance(self) -> socket.socket | None:
        """Goes on as far as it can.

        Returns:
            The connected socket, when all is done.

        Raises:
            ConnectionFault: no address is left; says what was wrong with each.
        """
        while True:
            try:
                if self.socket is None:
                    if not self._left:
                        raise ConnectionFault("; ".join(dict.fromkeys(self._faults)))
                    self._begin()
                    return None
                return self._go_on()
            except OSError as error:
                self._faults.append(f"{self._address}: {told(error)}")
                self.close()

    def close(self) -> None:
        """Gives up the address that is tried."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def _begin(self) -> None:
        self._address = address = self._left.popleft()
        self._handshaking, self.wants_write = False, True
        made = self.socket = socket.socket(address.family, socket.SOCK_STREAM)
        made.setblocking(False)
        if address.family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = made.connect_ex(address.place)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def _go_on(self) -> socket.socket | None:
        made = self.socket
        assert made is not None
        if not self._handshaking:
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            if self._context is None:
                return made
            made = self.socket = self._context.wrap_socket(
                made, server_hostname=self._server_name, do_handshake_on_connect=False
            )
            self._handshaking = True
        assert isinstance(made, ssl.SSLSocket)
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            self.wants_write = False
            return None
        except ssl.SSLWantWriteError:
            self.wants_write = True
            return None
        return made


def told(error: OSError) -> str:
    """Returns what is wrong, in a line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return (error.strerror or str(error) or type(error).__name__).lower()
