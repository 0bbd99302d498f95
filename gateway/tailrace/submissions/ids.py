"""Ids of submissions: the partition in three digits, and a ULID."""

from __future__ import annotations

import os
import re
import time

# Crockford's base 32. Source: https://github.com/ulid/spec
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = re.compile(rf"([0-9]{{3}})-[0-7][{_ALPHABET}]{{25}}")
_RANDOM_BITS = 80
_STEP_BYTES = 8
# Of the kernel's random bytes at once: to ask for them costs more than all else.
_POOL_BYTES = 4096
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


class IdMaker:
    """Makes ids that sort by when they were made, also within a millisecond."""

    def __init__(self) -> None:
        self._last = 0
        self._pool = b""
        self._used = 0

    def new(self, partition: int) -> str:
        """Returns a fresh id, such as `007-01JD8Z6V3N8B4Q2W5X7Y9K1M3P`."""
        now = time.time_ns() // 1_000_000
        if now > self._last >> _RANDOM_BITS:
            number = now << _RANDOM_BITS | int.from_bytes(self._random(_RANDOM_BITS // 8), "big")
        else:
            # Also where the clock was set back; a step at random stays hard to guess.
            number = self._last + 1 + int.from_bytes(self._random(_STEP_BYTES), "big")
        self._last = number
        return f"{partition:03d}-{_base32(number)}"

    def _random(self, count: int) -> bytes:
        if self._used + count > len(self._pool):
            self._pool, self._used = os.urandom(_POOL_BYTES), 0
        self._used += count
        return self._pool[self._used - count : self._used]


def partition_of_id(prediction_id: str) -> int | None:
    """Returns the partition that an id names, or None if it is malformed."""
    match = _ID.fullmatch(prediction_id)
    return int(match[1]) if match else None


def _base32(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


_maker = IdMaker()


def new_prediction_id(partition: int) -> str:
    """Returns a fresh id in a partition; those of one process sort by when they were made."""
    return _maker.new(partition)
