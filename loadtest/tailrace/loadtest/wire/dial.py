"""An attempt to connect to one address, which waits for nothing."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from tailrace.loadtest.wire.frames import ConnectionFault
from tailrace.loadtest.wire.target import Address


class Dial:
    """Connects to an address, up to the end of TLS' handshake: it goes on as its socket is ready.

    Attributes:
        address: where to.
        socket: what connects; None before it begins, and once it is handed over or closed.
        wants_write: it goes on when there is room to write; else, when there is something to read.
    """

    def __init__(self, address: Address, context: ssl.SSLContext | None, server_name: str) -> None:
        """Describes it; `advance` begins.

        Args:
            address: where to.
            context: for TLS; None for plaintext.
            server_name: that certificates are checked against.
        """
        self.address = address
        self.socket: socket.socket | None = None
        self.wants_write = True
        self._context, self._server_name = context, server_name
        self._handshaking = False

    def advance(self) -> socket.socket | None:
        """Goes on as far as it can.

        Returns:
            The connected socket, when all is done.

        Raises:
            ConnectionFault: it cannot be connected to.
        """
        try:
            if self.socket is None:
                self._begin()
                return None
            made = self._go_on()
        except OSError as error:
            self.close()
            raise ConnectionFault(told(error)) from error
        if made is not None:
            self.socket = None
        return made

    def close(self) -> None:
        """Gives it up."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def _begin(self) -> None:
        address = self.address
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
