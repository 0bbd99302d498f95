"""Bounds how many lines a second tell of failures: a storm of them must not eat the processor.

A token bucket per reason. What is held back is counted, and told by one line a second.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

# Reasons are few; should anything else come to be one, memory stays bounded.
MAX_REASONS = 256
# A failed batch tells all its rows, if it is not too large.
BURST_S = 5.0


class FailureBound:
    """Says which failures are told. Used from the event loop and, rarely, other threads."""

    def __init__(self, per_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Has full buckets.

        Args:
            per_s: lines a second of one reason that may be told for long; five seconds' worth of
                them at once. Infinite where all are told.
            clock_s: seconds of a clock that only goes forward.
        """
        self._per_s = per_s
        self._burst = max(per_s * BURST_S, 1.0)
        self._clock_s = clock_s
        self._lock = threading.RLock()
        self._tokens: dict[str, tuple[float, float]] = {}
        self._held_back: dict[str, int] = {}

    def may_tell(self, reason: str) -> bool:
        """Takes a token of a reason; where there is none, counts a line held back."""
        if math.isinf(self._per_s):
            return True
        now_s = self._clock_s()
        with self._lock:
            if reason not in self._tokens and len(self._tokens) >= MAX_REASONS:
                reason = "_OTHER"
            tokens, then_s = self._tokens.get(reason, (self._burst, now_s))
            tokens = min(tokens + (now_s - then_s) * self._per_s, self._burst)
            if tokens >= 1:
                self._tokens[reason] = tokens - 1, now_s
                return True
            self._tokens[reason] = tokens, now_s
            self._held_back[reason] = self._held_back.get(reason, 0) + 1
            return False

    def take_held_back(self) -> dict[str, int]:
        """Returns the numbers of lines held back since the last call, by reason."""
        if not self._held_back:
            return {}
        with self._lock:
            taken, self._held_back = self._held_back, {}
        return taken
