"""Fields appended to serialised messages, so that what is in them need not be parsed again.

Wire layout: https://protobuf.dev/programming-guides/encoding/ . Fields may come in any order.
"""

from __future__ import annotations

_LENGTH_DELIMITED = 2


def bytes_field(number: int, content: bytes) -> bytes:
    """Returns a field whose content is a message, bytes or UTF-8, as it stands in its message.

    Args:
        number: of the field.
        content: serialised message, bytes, or encoded text.
    """
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
