"""Where a server is: gRPC's names of targets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from ipaddress import ip_address

from tailrace.loadtest.load_error import LoadError

_DEFAULT_PORT = 443
_REFRESH_NS = 1_000_000_000
_FORMS = "a host is HOST:PORT, dns:///HOST:PORT, ipv4:ADDRESS:PORT,… or unix:PATH"


@dataclass(frozen=True)
class Address:
    """What a socket connects to.

    Attributes:
        family: such as `socket.AF_INET`.
        place: of the kind that the family has.
    """

    family: int
    place: tuple[str, int] | tuple[str, int, int, int] | str

    def __str__(self) -> str:
        if isinstance(self.place, str):
            abstract = self.place.startswith("\0")
            return f"unix-abstract:{self.place[1:]}" if abstract else f"unix:{self.place}"
        host = self.place[0]
        return f"[{host}]:{self.place[1]}" if ":" in host else f"{host}:{self.place[1]}"


@dataclass(frozen=True)
class Target:
    """A host and a port, a list of addresses, or a Unix socket.

    Attributes:
        host: name or address, the first of several; `localhost` for a Unix socket.
        port: the first one's; 0 for a Unix socket.
        path: of a Unix socket, which begins with a NUL for an abstract one; empty for none.
        listed: hosts and ports in place of the one; empty if there are no more.
    """

    host: str
    port: int
    path: str = ""
    listed: tuple[tuple[str, int], ...] = ()

    @property
    def authority(self) -> str:
        """What requests name the server by, unless they are told otherwise."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def resolve(self) -> list[Address]:
        """Returns all addresses, in the resolver's order.

        Raises:
            LoadError: there is none.
        """
        if self.path:
            return [Address(socket.AF_UNIX, self.path)]
        places = self.listed or ((self.host, self.port),)
        try:
            found = [
                each
                for host, port in places
                for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            ]
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise LoadError(
                f"the host {self.host!r} has no address: {why}", "check the host's name"
            ) from error
        addresses = [Address(int(family), place) for family, _, _, _, place in found]  # type: ignore[arg-type]
        return list(dict.fromkeys(addresses))


def parse_target(host: str) -> Target:
    """Reads a target.

    Raises:
        LoadError: it is none.
    """
    text = host
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path:
            raise LoadError(f"the host {host!r} names no socket", _FORMS)
        return Target("localhost", 0, path)
    if text.startswith("unix-abstract:"):
        return Target("localhost", 0, "\0" + text.removeprefix("unix-abstract:"))
    for scheme, version in (("ipv4:", 4), ("ipv6:", 6)):
        if text.startswith(scheme):
            return _listed(host, text.removeprefix(scheme), version)
    for scheme in ("dns:", "passthrough:"):
        if text.startswith(scheme):
            text = text.removeprefix(scheme)
            # What stands between // and / is the name server to ask: the system's is asked.
            text = text[2:].partition("/")[2] if text.startswith("//") else text
    return Target(*_place(host, text))


def _listed(host: str, text: str, version: int) -> Target:
    places = tuple(_place(host, each) for each in text.split(","))
    for name, _ in places:
        if _version(name) != version:
            raise LoadError(f"the host {host!r}: {name!r} is no IPv{version} address", _FORMS)
    name, port = places[0]
    return Target(name, port, listed=places)


def _place(host: str, text: str) -> tuple[str, int]:
    name, port = _split(text)
    if not name or not port.isdigit() or not 0 < int(port) < 65_536:
        raise LoadError(f"the host {host!r} is no address", _FORMS)
    return name, int(port)


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        return name, rest.removeprefix(":") or str(_DEFAULT_PORT)
    if text.count(":") > 1:
        return text, str(_DEFAULT_PORT)
    name, colon, port = text.partition(":")
    return name, port if colon else str(_DEFAULT_PORT)


class Resolver:
    """A target's addresses, looked up again when connections fail, without waiting for it.

    Attributes:
        addresses: the latest, in the resolver's order.
    """

    def __init__(self, target: Target) -> None:
        """Looks them up for the first time.

        Raises:
            LoadError: there is none.
        """
        self.addresses = target.resolve()
        self._target = target
        self._asked_ns = time.monotonic_ns()
        self._fixed = bool(target.path) or _version(target.host) != 0

    def refresh(self, now: int) -> None:
        """Looks them up again, on a thread; at most once a second."""
        if not self._fixed and now - self._asked_ns >= _REFRESH_NS:
            self._asked_ns = now
            threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        # A name that is gone for a while keeps the addresses that it had.
        with contextlib.suppress(LoadError):
            self.addresses = self._target.resolve()


def _version(host: str) -> int:
    """Returns 4 or 6 for an address; 0 for a name."""
    try:
        return ip_address(host.partition("%")[0]).version
    except ValueError:
        return 0
