"""A circuit breaker of one callback."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable


class BreakerState(enum.StrEnum):
    """Whether messages are sent."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """Leaves a callback alone after some failures in a row; then lets one message try it.

    Attributes:
        state: CLOSED sends freely; OPEN sends nothing until its time is over, and one probe then;
            PROBING waits for what comes of that probe.
        failures: how many messages in a row have failed.
    """

    def __init__(
        self, most_failures: int, open_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Takes the bounds.

        Args:
            most_failures: in a row, after which it opens.
            open_s: for how long.
            clock: monotonic, in seconds.
        """
        self._most_failures = most_failures
        self._open_s = open_s
        self._clock = clock
        self._open_until_s = 0.0
        self.state = BreakerState.CLOSED
        self.failures = 0

    def wait_s(self) -> float | None:
        """Returns how long nothing may be sent; None for until the probe has ended."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        if self.state is BreakerState.PROBING:
            return None
        return max(0.0, self._open_until_s - self._clock())

    def begin_probe(self) -> None:
        """Tells that the one message is about to be sent that an open breaker lets through."""
        self.state = BreakerState.PROBING

    def give_up_probe(self) -> None:
        """Tells that there was nothing to probe with, or that it was not sent."""
        if self.state is BreakerState.PROBING:
            self.state = BreakerState.OPEN

    def succeeded(self) -> None:
        """Tells that a message was taken."""
        self.failures = 0
        self.state = BreakerState.CLOSED

    def failed(self, leave_alone_s: float | None = None) -> bool:
        """Tells that a message failed; returns whether that opened the breaker.

        Args:
            leave_alone_s: how long the receiver wants to be left alone, if it said so. It opens at
                once then, but for no longer than it ever does.
        """
        self.failures += 1
        if self.state is BreakerState.OPEN:
            # One of those that were under way when it opened.
            return False
        was_closed = self.state is BreakerState.CLOSED
        asked_s = leave_alone_s or 0.0
        if was_closed and not asked_s and self.failures < self._most_failures:
            return False
        open_s = min(asked_s, self._open_s) if asked_s else self._open_s
        self._open_until_s = self._clock() + open_s
        self.state = BreakerState.OPEN
        return was_closed
