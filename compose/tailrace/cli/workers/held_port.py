"""A port that workers share, and that nobody else gets."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

_WILDCARDS = ("0.0.0.0", "::")
# What gRPC makes of the name, whatever the resolver says.
_LOCALHOST = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
# How often a free port of one address may turn out not to be free on another.
_ATTEMPTS = 50

_Address = tuple[int, str]


@contextlib.contextmanager
def held_port(host: str, port: int) -> Iterator[int]:
    """Holds a TCP port inside the block and yields it; it is real even for 0.

    It is bound exclusively, so a port in use is noticed, and joined afterwards: once the held
    sockets have SO_REUSEPORT, those who bind the port with that option, too, share it, and
    those without it cannot. As the held sockets never listen, no connection goes to them. On
    Linux only, and for processes of one user; source: socket(7), SO_REUSEPORT.

    Args:
        host: address or name, as gRPC takes it; a name holds the port on all its addresses.
        port: the port; 0 for a free one.

    Raises:
        OSError: the port is in use, or there is no such address here.
    """
    held = _hold(_addresses(host), port)
    try:
        for one in held:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield _port_of(held[0])
    finally:
        for one in held:
            one.close()


def _addresses(host: str) -> list[_Address]:
    if host in _WILDCARDS:
        # As gRPC does: one socket for IPv4 and IPv6.
        return [(socket.AF_INET6, "::") if socket.has_dualstack_ipv6() else (socket.AF_INET, host)]
    if host == "localhost":
        return list(_LOCALHOST)
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((int(family), str(address[0])) for family, *_, address in found))


def _hold(addresses: list[_Address], port: int) -> list[socket.socket]:
    for _ in range(_ATTEMPTS - 1):
        try:
            return _hold_once(addresses, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
    return _hold_once(addresses, port)


def _hold_once(addresses: list[_Address], port: int) -> list[socket.socket]:
    held: list[socket.socket] = []
    missing: OSError | None = None
    with contextlib.ExitStack() as stack:
        for family, address in addresses:
            try:
                one = _bound(family, address, _port_of(held[0]) if held else port)
            except OSError as error:
                # A name may have addresses that this machine has not, such as ::1.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
            else:
                held.append(stack.enter_context(one))
        if missing and not held:
            raise missing
        stack.pop_all()
    return held


def _bound(family: int, address: str, port: int) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6 and address == "::":
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            one.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Connections that a server before us has closed keep the port for a minute. This
            # gets past them, but past nobody who listens.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, port))
            # Whoever asks the same later is not let past us.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except BaseException:
        one.close()
        raise
    return one


def _port_of(one: socket.socket) -> int:
    port = one.getsockname()[1]
    assert isinstance(port, int)
    return port
