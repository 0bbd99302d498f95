"""Deadlines on the monotonic clock of one process."""

from __future__ import annotations

import time
from dataclasses import dataclass

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """The instant by which an answer is wanted.

    Kept on `time.monotonic_ns()`, so a step of the wall clock moves nothing. Between
    processes the time remaining travels, never the instant.

    Attributes:
        at_ns: the instant in nanoseconds of the monotonic clock.
    """

    at_ns: int

    @classmethod
    def after_ns(cls, remaining_ns: int) -> Deadline:
        """Returns the deadline that lies `remaining_ns` nanoseconds from now."""
        return cls(time.monotonic_ns() + remaining_ns)

    @classmethod
    def after_s(cls, remaining_s: float) -> Deadline:
        """Returns the deadline that lies `remaining_s` seconds from now."""
        return cls.after_ns(int(remaining_s * NS_PER_S))

    def remaining_ns(self) -> int:
        """Returns the nanoseconds left; negative once the deadline has passed."""
        return self.at_ns - time.monotonic_ns()

    def remaining_s(self) -> float:
        """Returns the seconds left; negative once the deadline has passed."""
        return self.remaining_ns() / NS_PER_S

    def expired(self) -> bool:
        """Returns whether no time is left."""
        return self.remaining_ns() <= 0
