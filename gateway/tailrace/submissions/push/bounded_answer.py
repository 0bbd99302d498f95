"""Answers of gRPC receivers, unpacked no further than is sensible.

gRPC unpacks a compressed answer whatever comes out of it, so channels to receivers leave that to
this module.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

Answer = TypeVar("Answer", bound=Message)

# No answer begins so uncompressed: field 1, if anything, is the only one that receivers know of.
_GZIP_MAGIC = b"\x1f\x8b"
_ZLIB_MAGIC = b"\x78"
# Either header, told apart by zlib.
_AUTOMATIC = 32 + zlib.MAX_WBITS


def bounded(parse: Callable[[bytes], Answer], max_bytes: int) -> Callable[[bytes], Answer | None]:
    """Returns what reads an answer, and gives None for one that is too large or unreadable."""

    def read(data: bytes) -> Answer | None:
        try:
            if data.startswith((_GZIP_MAGIC, _ZLIB_MAGIC)):
                unpacking = zlib.decompressobj(_AUTOMATIC)
                data = unpacking.decompress(data, max_bytes)
                if not unpacking.eof:
                    return None
            return parse(data)
        except (DecodeError, zlib.error):
            return None

    return read
