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


class Encoder:
    """Encodes what is sent: what it has to be like, all requests have in common."""

    def __init__(self, *, compressed: bool, max_bytes: int | None) -> None:
        """Takes what messages have to be like.

        Args:
            compressed: they are compressed.
            max_bytes: length of the largest; None for no limit.
        """
        self._compressed, self._max_bytes = compressed, max_bytes

    def encoded(self, request: Request) -> EncodedRequest:
        """Returns a request's frames, made at most once.

        Raises:
            LoadError: its metadata cannot be sent.
        """
        if isinstance(request.encoded, EncodedRequest):
            return request.encoded
        payload = b"".join(map(self.framed, request.messages))
        metadata = metadata_block(request.metadata) if request.metadata else b""
        told = self.too_large(request.messages)
        made = request.encoded = EncodedRequest(metadata, payload, len(payload), told)
        return made

    def framed(self, message: bytes) -> bytes:
        """Returns a message with gRPC's prefix: whether it is compressed, and its length."""
        if self._compressed:
            message = gzip.compress(message, compresslevel=6, mtime=0)
        return (b"\1" if self._compressed else b"\0") + len(message).to_bytes(4, "big") + message

    def too_large(self, messages: Iterable[bytes]) -> str:
        """Returns what is wrong with the first message that is too large; empty if none is."""
        most = self._max_bytes
        if most is not None:
            for message in messages:
                if len(message) > most:
                    return f"the message has {len(message)} bytes, more than {most} may be sent"
        return ""
