"""The header blocks that requests begin with, in HPACK (RFC 7541)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.request import Metadata

USER_AGENT = "tailrace-load"
DEFAULT_TABLE_BYTES = 4096

# What RFC 7541 counts for each entry of a table, beside its name and its value.
_ENTRY_BYTES = 32
_STATIC_ENTRIES = 61
_STATIC_NAMES = {":authority": 1, ":path": 4, "content-type": 31, "user-agent": 58}
_POST = b"\x83"
_SCHEMES = {"http": b"\x86", "https": b"\x87"}
_TABLE_SIZE_0 = b"\x20"

# What gRPC makes itself; Go's drops them from a caller's metadata, and so does this.
_RESERVED = frozenset(
    (
        "content-type",
        "grpc-encoding",
        "grpc-message",
        "grpc-message-type",
        "grpc-status",
        "grpc-timeout",
        "te",
        "user-agent",
    )
)
_PRINTABLE = frozenset(range(0x20, 0x7F))


class Form(IntEnum):
    """How a connection's next request names the headers that all requests have.

    INSERTING: in full, and into the peer's table: its first request. INDEXED: by their places
    there, a byte each. SHRINKING: in full, after saying that the table is not used any more;
    LITERAL: in full.
    """

    INSERTING = 0
    INDEXED = 1
    SHRINKING = 2
    LITERAL = 3


@dataclass(frozen=True)
class RequestHeaders:
    """The headers that all requests of a channel have.

    Attributes:
        timeout_ns: the deadline that most requests have, whose header is among them; 0 for none.
        blocks: the blocks with that deadline, by `Form`.
        table_bytes: what they need of the peer's table.
    """

    timeout_ns: int
    blocks: tuple[bytes, ...]
    table_bytes: int
    _untimed: tuple[bytes, ...]

    def block(self, form: Form, timeout_ns: int) -> bytes:
        """Returns the block of a request with any deadline.

        Args:
            form: how headers are named.
            timeout_ns: time that the call has left, in nanoseconds; 0 for no deadline.
        """
        if timeout_ns == self.timeout_ns or form is Form.INSERTING:
            return self.blocks[form]
        timed = literal("grpc-timeout", grpc_timeout(timeout_ns)) if timeout_ns else b""
        return self._untimed[form] + timed


def request_headers(
    *, path: str, authority: str, scheme: str, timeout_ns: int, gzip: bool
) -> RequestHeaders:
    """Makes the headers of a channel's requests.

    Args:
        path: of the method.
        authority: host and port.
        scheme: `http` or `https`.
        timeout_ns: the deadline that most requests have; 0 for none.
        gzip: messages may be compressed, both ways.
    """
    common = [(":path", path), (":authority", authority), ("te", "trailers")]
    common += [("content-type", "application/grpc"), ("user-agent", USER_AGENT)]
    if gzip:
        common += [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")]
    timed = [*common, ("grpc-timeout", grpc_timeout(timeout_ns))] if timeout_ns else common
    start = _POST + _SCHEMES[scheme]
    return RequestHeaders(
        timeout_ns=timeout_ns,
        blocks=_forms(start, timed, timed),
        table_bytes=sum(len(name) + len(value) + _ENTRY_BYTES for name, value in timed),
        _untimed=_forms(start, common, timed),
    )


def _forms(
    start: bytes, headers: Sequence[tuple[str, str]], inserted: Sequence[tuple[str, str]]
) -> tuple[bytes, ...]:
    newest = _STATIC_ENTRIES + len(inserted)
    places = {name: newest - place for place, (name, _) in enumerate(inserted)}
    inserting = start + b"".join(_literal(name, value, 0x40, 6) for name, value in inserted)
    indexed = start + b"".join(_integer(places[name], 0x80, 7) for name, _ in headers)
    full = start + b"".join(literal(name, value) for name, value in headers)
    return inserting, indexed, _TABLE_SIZE_0 + full, full


def metadata_block(metadata: Metadata) -> bytes:
    """Returns the part of a block that holds a caller's own metadata; reserved names are left out.

    Raises:
        LoadError: a name or a value cannot be sent.
    """
    return b"".join(
        literal(name, _text(name, value))
        for name, value in metadata
        if name not in _RESERVED and not name.startswith(":")
    )


def _text(name: str, value: str | bytes) -> str:
    if not name or not all(each.isascii() and (each.isalnum() or each in "-_.") for each in name):
        raise LoadError(
            f"metadata {name!r} is no name for a header", "letters, digits and -_. make one"
        )
    if name.endswith("-bin"):
        raw = value.encode() if isinstance(value, str) else value
        return base64.b64encode(raw).rstrip(b"=").decode()
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not all(ord(each) in _PRINTABLE for each in text):
        raise LoadError(
            f"metadata {name!r} has a value that is not printable ASCII",
            "give it a name that ends in -bin",
        )
    return text


def grpc_timeout(timeout_ns: int) -> str:
    """Returns the value of grpc-timeout, rounded up: at most 8 digits and a unit."""
    for unit, length in (("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000)):
        count = -(-timeout_ns // length)
        if count < 100_000_000 and (unit == "S" or timeout_ns % (length * 1000)):
            return f"{count}{unit}"
    return f"{min(-(-timeout_ns // 3_600_000_000_000), 99_999_999)}H"


def literal(name: str, value: str) -> bytes:
    """Returns a header field in full, which the peer's table does not take in."""
    return _literal(name, value, 0x00, 4)


def _literal(name: str, value: str, pattern: int, bits: int) -> bytes:
    place = _STATIC_NAMES.get(name, 0)
    named = _integer(place, pattern, bits) + (b"" if place else _string(name))
    return named + _string(value)


def _string(text: str) -> bytes:
    raw = text.encode("ascii")
    return _integer(len(raw), 0x00, 7) + raw


def _integer(value: int, pattern: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes((pattern | value,))
    parts = [pattern | most]
    value -= most
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))
