"""What a run looks for in the answers themselves."""

from __future__ import annotations

from typing import Protocol, Self


class AnswerTally(Protocol):
    """What was found in answers; picklable, and can be added to another's."""

    def merge(self, other: Self) -> None:
        """Adds what another process found."""


class ResponseReader(Protocol):
    """Reads answers as they come."""

    def take(self) -> AnswerTally:
        """Returns what was found since the last time: all that is taken, added up, is the whole."""

    def read(self, payload: bytes, latency_ns: int) -> None:
        """Reads one serialised answer, without gRPC's prefix.

        Args:
            payload: the message.
            latency_ns: of its call, from its intended instant until this message, in nanoseconds.
        """
