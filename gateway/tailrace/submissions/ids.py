"""Ids of submissions: the partition in three digits, and a ULID."""

from __future__ import annotations

import re
import secrets
import time

# Crockford's base 32. Source: https://github.com/ulid/spec
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = re.compile(rf"([0-9]{{3}})-[0-7][{_ALPHABET}]{{25}}")
_RANDOM_BITS = 80


class IdMaker:
    """Makes ids that sort by when they were made, also within a millisecond."""

    def __init__(self) -> None:
        self._last = 0

    def new(self, partition: int) -> str:
        """Returns a fresh id, such as `007-01JD8Z6V3N8B4Q2W5X7Y9K1M3P`."""
        number = time.time_ns() // 1_000_000 << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        if number <= self._last or number >> _RANDOM_BITS == self._last >> _RANDOM_BITS:
            # Also where the clock was set back; a step at random stays hard to guess.
            number = self._last + 1 + secrets.randbits(_RANDOM_BITS - 16)
        self._last = number
        return f"{partition:03d}-{_base32(number)}"


def partition_of_id(prediction_id: str) -> int | None:
    """Returns the partition that an id names, or None if it is malformed."""
    match = _ID.fullmatch(prediction_id)
    return int(match[1]) if match else None


def _base32(number: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


_maker = IdMaker()


def new_prediction_id(partition: int) -> str:
    """Returns a fresh id in a partition; those of one process sort by when they were made."""
    return _maker.new(partition)
