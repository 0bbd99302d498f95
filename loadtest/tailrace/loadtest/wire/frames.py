"""HTTP/2 frames (RFC 9113), as far as a gRPC client sends or reads them."""

from __future__ import annotations

import struct
from collections.abc import Iterable

# length << 8 | type, flags, stream.
HEAD = struct.Struct(">IBI")
HEAD_BYTES = 9

DATA = 0
HEADERS = 1
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

# Flags; the same bit means END_STREAM on DATA and HEADERS, ACK on SETTINGS and PING.
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20

HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5

NO_ERROR = 0
PROTOCOL_ERROR = 1
INTERNAL_ERROR = 2
FLOW_CONTROL_ERROR = 3
STREAM_CLOSED = 5
FRAME_SIZE_ERROR = 6
REFUSED_STREAM = 7
CANCEL = 8
COMPRESSION_ERROR = 9
ENHANCE_YOUR_CALM = 11
INADEQUATE_SECURITY = 12
HTTP_1_1_REQUIRED = 13

ERROR_NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

MAX_WINDOW = 0x7FFFFFFF
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_BYTES = 16_384
MAX_STREAM_ID = 0x7FFFFFFF

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_ACK = HEAD.pack(SETTINGS, ACK, 0)


class ConnectionFault(Exception):
    """The peer broke HTTP/2's rules, or closed the connection; no call on it can go on.

    Attributes:
        code: the HTTP/2 error code that the peer is told.
    """

    def __init__(self, problem: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(problem)
        self.code = code


def error_name(code: int) -> str:
    """Returns the name of an HTTP/2 error code, such as `CANCEL`."""
    return ERROR_NAMES[code] if code < len(ERROR_NAMES) else f"error code {code}"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Returns a frame."""
    return HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """Returns a SETTINGS frame of identifiers and their values."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in values))


def window_update(stream: int, increment: int) -> bytes:
    """Returns a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    """Returns a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(code: int, text: str) -> bytes:
    """Returns a GOAWAY frame: this side takes no streams, and says why it leaves."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", 0, code) + text.encode())


def data_frames(stream: int, payload: bytes, limit: int, *, last: bool) -> bytes:
    """Returns DATA frames of at most `limit` bytes each; `last` ends the stream."""
    parts = [payload[start : start + limit] for start in range(0, len(payload), limit)] or [b""]
    ends = [0] * (len(parts) - 1) + [END_STREAM if last else 0]
    return b"".join(frame(DATA, flag, stream, part) for part, flag in zip(parts, ends, strict=True))


def header_frames(stream: int, block: bytes, limit: int, *, last: bool) -> bytes:
    """Returns a HEADERS frame and its CONTINUATIONs; `last` ends the stream."""
    ending = END_STREAM if last else 0
    if len(block) <= limit:
        return frame(HEADERS, END_HEADERS | ending, stream, block)
    parts = [block[start : start + limit] for start in range(0, len(block), limit)]
    made = [frame(HEADERS, ending, stream, parts[0])]
    made += [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    return b"".join([*made, frame(CONTINUATION, END_HEADERS, stream, parts[-1])])


def unpadded(flags: int, payload: bytes) -> bytes:
    """Returns what DATA or HEADERS carries, without padding and priority.

    Raises:
        ConnectionFault: there is more padding than payload.
    """
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise ConnectionFault("padding without its length", FRAME_SIZE_ERROR)
        start, end = 1, end - payload[0]
    if flags & PRIORITY:
        start += 5
    if start > end:
        raise ConnectionFault("more padding than payload")
    return payload[start:end]
