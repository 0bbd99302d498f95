"""What a header block of an answer says, read once for all that are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from hpack import Decoder
from hpack.exceptions import HPACKError

from tailrace.loadtest.wire import status as statuses
from tailrace.loadtest.wire.frames import COMPRESSION_ERROR, ConnectionFault

# A server whose every answer has other headers fills no more than this.
MAX_KNOWN = 1024
# What a code of 32 bits has at most.
_CODE_DIGITS = 10
_TOLD_BYTES = 80


@dataclass(slots=True, eq=False)
class AnswerHead:
    """A header block: an answer's headers, its trailers, or both in one.

    Attributes:
        plain: True if an answer that begins with it goes on as most do: HTTP status 200, gRPC's
            content type, messages without compression.
        status: gRPC status that the call ends with, if its stream ends here.
        message: the status's message.
        informational: True for an HTTP status of 1xx, which other headers follow.
        encoding: how messages with the compressed flag are compressed; `identity` if not said.
        broken: True if the call can only fail, whether its stream ends here or goes on.
    """

    plain: bool
    status: int
    message: str
    informational: bool
    encoding: str
    broken: bool


class HeadReader:
    """Reads the header blocks of one connection, in order.

    A block is looked up by its bytes for as long as these mean the same: until one changes the
    table that others refer to. Servers that follow this side's settings have no such table.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, AnswerHead] = {}
        self._decoder = Decoder()

    def read(self, block: bytes) -> AnswerHead:
        """Decodes a block that is not among `known`.

        Raises:
            ConnectionFault: it is no HPACK, or refers to a table that the peer cannot have.
        """
        table = self._decoder.header_table
        size, count = table.maxsize, len(table.dynamic_entries)
        newest = table.dynamic_entries[0] if count else None
        try:
            head = _understood(self._decoder.decode(block, raw=True))
        except HPACKError as error:
            raise ConnectionFault(
                f"the server's header block is broken: {error}", COMPRESSION_ERROR
            ) from error
        # An insertion puts an entry in front, whatever it drops at the other end.
        entries = table.dynamic_entries
        same = (table.maxsize, len(entries)) == (size, count)
        if same and (not entries or entries[0] is newest) and len(self.known) < MAX_KNOWN:
            self.known[block] = head
        else:
            self.known.clear()
        return head


def _understood(headers: Iterable[tuple[bytes, bytes]]) -> AnswerHead:
    found = dict(headers)
    told = found.get(b":status", b"200")
    http_status = int(told) if told.isdigit() and len(told) == 3 else 0
    grpc_status = found.get(b"grpc-status")
    kind = found.get(b"content-type", b"application/grpc")
    encoding = found.get(b"grpc-encoding", b"identity").decode("latin-1")
    informational = 100 <= http_status < 200
    broken = False
    if grpc_status is not None:
        status, message = _told(grpc_status, found.get(b"grpc-message", b""))
    elif http_status != 200 and not informational:
        broken = True
        status = statuses.of_http_status(http_status)
        message = f"the server answered with HTTP status {told.decode('latin-1')}"
    elif not kind.startswith(b"application/grpc"):
        broken = True
        status = statuses.UNKNOWN
        message = f"the server answered with content type {kind.decode('latin-1')}"
    else:
        status = statuses.INTERNAL
        message = "the server ended the stream without a status"
    plain = not broken and not informational and grpc_status is None and encoding == "identity"
    return AnswerHead(plain, status, message, informational, encoding, broken)


def _told(status: bytes, message: bytes) -> tuple[int, str]:
    text = unquote(message.decode("latin-1"), errors="replace")
    if not status.isdigit() or len(status) > _CODE_DIGITS:
        told = status[:_TOLD_BYTES].decode("latin-1")
        return statuses.UNKNOWN, f"the server sent the status {told!r}"
    return int(status), text
