"""Targets of callbacks: read strictly, so that what was checked is what is connected to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias

from tailrace.runtime.errors import InvalidField, PermissionDenied

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_TARGET_CHARACTERS = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80}
# Controls, spaces and the backslash, which some readers take for a slash.
_UNFIT = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_SHAPE = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
    r"(?P<fragment>#.*)?",
    re.DOTALL,
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a callback is.

    Attributes:
        scheme: `https`, `http`, `grpcs` or `grpc`.
        host: name in ASCII and small letters, or an address as it is written canonically.
        address: the host, if it is an address.
        path: path and query as they are to be sent; empty for gRPC.
    """

    scheme: str
    host: str
    port: int
    address: IpAddress | None
    path: str

    @property
    def is_grpc(self) -> bool:
        """Whether it is a `CallbackReceiver`, not a webhook endpoint."""
        return self.scheme in ("grpc", "grpcs")

    @property
    def is_tls(self) -> bool:
        """Whether it is called with TLS."""
        return self.scheme in ("https", "grpcs")

    @property
    def authority(self) -> str:
        """Returns host and port, such as `example.com:443` or `[2001:db8::1]:443`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Returns the target as it is called."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_target(text: str, *, allow_plaintext: bool, field: str = "target") -> Target:
    """Returns a target; looks nothing up.

    Args:
        text: such as `https://example.com/hook` or `grpcs://example.com:50051`.
        allow_plaintext: whether `http://` and `grpc://` are allowed.
        field: named by errors.

    Raises:
        InvalidField: it cannot be read, or has what a target may not have.
        PermissionDenied: it is plaintext, and that is not allowed.
    """
    shape = None
    if len(text) <= MAX_TARGET_CHARACTERS and not _UNFIT.search(text):
        shape = _SHAPE.fullmatch(text)
    scheme = shape["scheme"].lower() if shape else ""
    if shape is None or scheme not in ("https", "http", "grpcs", "grpc"):
        raise InvalidField(
            "a target is https://…, http://…, grpcs://HOST:PORT or grpc://HOST:PORT, of at most "
            f"{MAX_TARGET_CHARACTERS} characters",
            field=field,
        )
    # Before anything is quoted: what stands before an @ may be a password.
    if "@" in shape["authority"]:
        raise InvalidField("a target may not have user information", field=field)
    if shape["fragment"] is not None:
        raise InvalidField("a target may not have a fragment", field=field)
    if scheme in ("http", "grpc") and not allow_plaintext:
        raise PermissionDenied(
            f"{scheme}:// is not allowed here; use {scheme}s://, or set "
            "TAILRACE_CALLBACK_ALLOW_PLAINTEXT=true where the network is trusted",
            field=field,
        )
    host, address, port = _host_and_port(shape["authority"], scheme, field)
    path = (shape["path"] or "") + (shape["query"] or "")
    if scheme in ("grpc", "grpcs"):
        if path not in ("", "/"):
            raise InvalidField(f"a {scheme}:// target is a host and a port only", field=field)
        path = ""
    elif not path.isascii():
        raise InvalidField("path and query of a target have to be percent-encoded", field=field)
    elif not path.startswith("/"):
        path = "/" + path
    return Target(scheme=scheme, host=host, port=port, address=address, path=path)


def _host_and_port(authority: str, scheme: str, field: str) -> tuple[str, IpAddress | None, int]:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not parts["host"]:
        raise InvalidField(f"{authority!r} is not a host with or without a port", field=field)
    port = int(parts["port"]) if parts["port"] else _DEFAULT_PORTS.get(scheme, 0)
    if not 1 <= port <= 65_535:
        raise InvalidField(
            "a target needs a port from 1 to 65535; https:// and http:// have one by default",
            field=field,
        )
    host = parts["host"]
    if host.startswith("["):
        try:
            address: IpAddress = ipaddress.IPv6Address(host[1:-1])
        except ValueError as error:
            raise InvalidField(f"{host} is not an IPv6 address", field=field) from error
        if "%" in host:
            raise InvalidField("an address may not have a zone", field=field)
        return str(address), address, port
    name = _ascii_name(host, field)
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        # Resolvers take 2130706433, 0x7f.1 and 0177.0.0.1 for 127.0.0.1; a reader does not.
        try:
            address = ipaddress.IPv4Address(name)
        except ValueError as error:
            raise InvalidField(
                f"{host!r} is not an IPv4 address of four decimal numbers", field=field
            ) from error
        return name, address, port
    return name, None, port


def _ascii_name(host: str, field: str) -> str:
    name = host.lower()
    if not host.isascii():
        try:
            encoded = name.encode("idna")
            # Where it does not come back as it was, another name would be called than is written.
            name = encoded.decode("ascii") if encoded.decode("idna") == name else ""
        except UnicodeError:
            name = ""
        if not name:
            raise InvalidField(
                f"{host!r} cannot be called as it is written; write its xn--… form", field=field
            )
    name = name.removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise InvalidField(f"{host!r} is not a host name", field=field)
    return name
