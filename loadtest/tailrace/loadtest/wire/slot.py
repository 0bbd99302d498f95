"""A place for a connection."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tailrace.loadtest.wire.attempt import Attempt
from tailrace.loadtest.wire.link import Link
from tailrace.loadtest.wire.target import Address

_FIRST_BACKOFF_NS = 100_000_000
_MOST_BACKOFF_NS = 2_000_000_000
_BACKOFF_FACTOR = 1.6
_JITTER = 0.2


class Slot:
    """A place for one connection, and when the next attempt to fill it is due.

    Attributes:
        link: what stands there; None if nothing does.
        attempt: the one that is under way; None if none is.
        attempt_ns: when the next attempt is due, if there is neither.
    """

    def __init__(self, place: int) -> None:
        self.link: Link | None = None
        self.attempt: Attempt | None = None
        self.attempt_ns = 0
        self._place = place
        self._backoff_ns = _FIRST_BACKOFF_NS

    def addresses(self, known: Sequence[Address], *, spread: bool) -> Sequence[Address]:
        """Returns the addresses to try, in order: if they are spread, one of its own."""
        return [known[self._place % len(known)]] if spread else known

    @property
    def links(self) -> list[Link]:
        """All that there are: what stands, or those that are tried."""
        if self.attempt is not None:
            return self.attempt.links
        return [self.link] if self.link is not None else []

    def vacate(self, now: int) -> None:
        """Is empty from here on: until at once after a long life, else for some time."""
        link, self.link, self.attempt = self.link, None, None
        if link is not None and now - link.stands_ns > self._backoff_ns:
            self._backoff_ns = _FIRST_BACKOFF_NS
            self.attempt_ns = now
            return
        self.attempt_ns = now + int(self._backoff_ns * random.uniform(1 - _JITTER, 1 + _JITTER))
        self._backoff_ns = min(int(self._backoff_ns * _BACKOFF_FACTOR), _MOST_BACKOFF_NS)
