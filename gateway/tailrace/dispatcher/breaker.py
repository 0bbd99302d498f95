"""While the chain answers nothing, only a small batch at a time asks whether it does again."""

from __future__ import annotations

import time

from tailrace.runtime.deadline import NS_PER_MS

PROBE_ROWS = 8
FIRST_WAIT_NS = 100 * NS_PER_MS
LONGEST_WAIT_NS = 5_000 * NS_PER_MS


class Breaker:
    """Opens when a whole batch fails of what may pass, and closes with the first prediction.

    Attributes:
        is_open: whether only probes may run.
    """

    def __init__(self) -> None:
        """Is closed."""
        self.is_open = False
        self._wait_ns = FIRST_WAIT_NS
        self._next_ns = 0

    def failed(self, begun_ns: int) -> None:
        """Notes a batch without any answer.

        Args:
            begun_ns: when it began, on the monotonic clock. One that was under way before the
                latest verdict says nothing new.
        """
        now_ns = time.monotonic_ns()
        if not self.is_open:
            self.is_open = True
            self._wait_ns = FIRST_WAIT_NS
        elif begun_ns < self._next_ns:
            return
        else:
            self._wait_ns = min(LONGEST_WAIT_NS, 2 * self._wait_ns)
        self._next_ns = now_ns + self._wait_ns

    def succeeded(self) -> None:
        """Notes a prediction."""
        self.is_open = False

    def wait_ns(self) -> int:
        """Returns how long until the next probe may run; 0 where nothing holds it back."""
        if not self.is_open:
            return 0
        return max(0, self._next_ns - time.monotonic_ns())
