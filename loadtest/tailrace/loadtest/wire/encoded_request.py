"""A request in the form in which it is sent, made once for all calls that send the same."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass

from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire.frames import DATA, END_HEADERS, END_STREAM, HEADERS
from tailrace.loadtest.wire.request_headers import Form, RequestHeaders, metadata_block


@dataclass(slots=True, eq=False)
class EncodedRequest:
    """What calls send of a request, and its frames where one HEADERS and one DATA hold it.

    Attributes:
        metadata: the part of its header block that is its own.
        payload: its messages, each with gRPC's prefix.
        size: length of that, in bytes.
        too_large: what is said of a message beyond the limit; empty if there is none.
        form: what `head` and `middle` were made for; None before they are.
        head: what comes before HEADERS' stream id, in such frames.
        middle: what comes between that and DATA's.
    """

    metadata: bytes
    payload: bytes
    size: int
    too_large: str
    form: Form | None = None
    head: bytes = b""
    middle: bytes = b""

    def shape(self, form: Form, headers: RequestHeaders) -> None:
        """Makes `head` and `middle` for connections in a form, and the deadline most have."""
        block = headers.blocks[form] + self.metadata
        self.head = (len(block) << 8 | HEADERS).to_bytes(4, "big") + bytes((END_HEADERS,))
        # A payload that is too long for a frame is not sent this way.
        length = (self.size & 0xFFFFFF) << 8
        self.middle = block + (length | DATA).to_bytes(4, "big") + bytes((END_STREAM,))
        self.form = form


def encode_request(request: Request, *, compressed: bool, max_bytes: int | None) -> EncodedRequest:
    """Encodes a request.

    Args:
        request: what is sent.
        compressed: messages are compressed.
        max_bytes: largest message; None for no limit.

    Raises:
        LoadError: its metadata cannot be sent.
    """
    payload = b"".join([framed(message, compressed=compressed) for message in request.messages])
    metadata = metadata_block(request.metadata) if request.metadata else b""
    told = too_large(request.messages, max_bytes) if max_bytes is not None else ""
    return EncodedRequest(metadata, payload, len(payload), told)


def framed(message: bytes, *, compressed: bool) -> bytes:
    """Returns a message with gRPC's prefix: whether it is compressed, and its length."""
    if compressed:
        message = gzip.compress(message, compresslevel=6, mtime=0)
    return (b"\1" if compressed else b"\0") + len(message).to_bytes(4, "big") + message


def too_large(messages: Iterable[bytes], max_bytes: int | None) -> str:
    """Returns what is wrong with the first message that is too large; empty if none is."""
    if max_bytes is not None:
        for message in messages:
            if len(message) > max_bytes:
                return f"the message has {len(message)} bytes, more than {max_bytes} may be sent"
    return ""
