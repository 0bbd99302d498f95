"""Messages in protobuf's own form, as ghz reads them.

They are one after the other, each after its length as a varint; or the whole is one message.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message

from tailrace.loadtest.load_error import LoadError

_LONGEST_VARINT = 10


def binary_messages(raw: bytes, message_class: type[Message], place: str) -> list[bytes]:
    """Returns the messages that are in these bytes; no bytes are one without fields.

    Bytes that can be read in both ways are taken for messages with their lengths.

    Args:
        raw: what was written.
        message_class: what they are to be.
        place: where they come from, for errors.

    Raises:
        LoadError: they are neither.
    """
    if not raw:
        return [b""]
    counted = _counted(raw)
    if counted is not None and all(_is_message(one, message_class) for one in counted):
        return counted
    if _is_message(raw, message_class):
        return [raw]
    name = message_class.DESCRIPTOR.full_name
    raise LoadError(
        f"{place} is no {name}, and no messages of this type with their lengths before them",
        f"it has {len(raw):,} bytes",
    )


def _counted(raw: bytes) -> list[bytes] | None:
    messages = []
    place = 0
    while place < len(raw):
        length = shift = 0
        while True:
            if place >= len(raw) or shift >= 7 * _LONGEST_VARINT:
                return None
            byte = raw[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if length > len(raw) - place:
            return None
        messages.append(raw[place : place + length])
        place += length
    return messages


def _is_message(raw: bytes, message_class: type[Message]) -> bool:
    try:
        message_class.FromString(raw)
    except DecodeError:
        return False
    return True
