"""Where a watch is: a position in each partition that it follows, as one opaque text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

from tailrace.runtime.errors import InvalidField

FIELD = "position"
_ENTRY = re.compile(r"(\d{1,3}):(\d{1,15}(?:-\d{1,15})?)")


def encode_position(positions: Mapping[int, str]) -> str:
    """Returns positions by partition as text."""
    plain = ",".join(f"{partition}:{positions[partition]}" for partition in sorted(positions))
    return base64.urlsafe_b64encode(plain.encode()).decode()


def decode_position(text: str, partitions: Sequence[int]) -> dict[int, str]:
    """Returns positions by partition.

    Args:
        text: as `encode_position` made it.
        partitions: those that the watch follows.

    Raises:
        InvalidField: it is none, or that of a watch of other partitions.
    """
    positions: dict[int, str] = {}
    try:
        plain = base64.b64decode(text, altchars=b"-_", validate=True).decode("ascii")
        for part in plain.split(","):
            entry = _ENTRY.fullmatch(part)
            if entry is None:
                raise ValueError(part)
            positions[int(entry[1])] = entry[2]
    except (ValueError, binascii.Error) as error:
        raise InvalidField("it is not the position of a watch", field=FIELD) from error
    if sorted(positions) != sorted(partitions):
        raise InvalidField("it is the position of a watch of other predictions", field=FIELD)
    return positions
