"""What the peer's SETTINGS allow (RFC 9113, section 6.5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tailrace.loadtest.wire.frames import (
    DEFAULT_FRAME_BYTES,
    DEFAULT_WINDOW,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    ConnectionFault,
)
from tailrace.loadtest.wire.request_headers import DEFAULT_TABLE_BYTES

MOST_STREAMS = 1 << 20
"""No more are in flight at a time in one connection, whatever its peer allows."""


@dataclass(slots=True)
class PeerSettings:
    """What a peer allows; before it says so, what HTTP/2 takes for granted.

    Attributes:
        table_bytes: size of its table of headers.
        max_streams: streams at a time, no more than `MOST_STREAMS`.
        window: window that each new stream begins with, in bytes.
        frame_bytes: largest payload of a frame.
    """

    table_bytes: int = DEFAULT_TABLE_BYTES
    max_streams: int = MOST_STREAMS
    window: int = DEFAULT_WINDOW
    frame_bytes: int = DEFAULT_FRAME_BYTES

    def read(self, payload: bytes) -> None:
        """Takes in the payload of a SETTINGS frame.

        Raises:
            ConnectionFault: it is not well-formed.
        """
        if len(payload) % 6:
            raise ConnectionFault("SETTINGS of an odd length", FRAME_SIZE_ERROR)
        for name, value in struct.iter_unpack(">HI", payload):
            if name == HEADER_TABLE_SIZE:
                self.table_bytes = value
            elif name == MAX_CONCURRENT_STREAMS:
                self.max_streams = min(value, MOST_STREAMS)
            elif name == INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    raise ConnectionFault("SETTINGS with too large a window", FLOW_CONTROL_ERROR)
                self.window = value
            elif name == MAX_FRAME_SIZE:
                if not DEFAULT_FRAME_BYTES <= value < 1 << 24:
                    raise ConnectionFault("SETTINGS with an impossible frame size")
                self.frame_bytes = value
