"""How many submissions are in flight: fewer as they wait at the hops, so that others do not.

Additive increase, multiplicative decrease, as in `convoy_control.py` of the gateway, over the
number of rows in flight. They travel in batches, of which there are few.
"""

from __future__ import annotations

import time

from tailrace.runtime.deadline import NS_PER_S

SHRINK = 0.5
GROWTH_STEPS = 32
LEAST_ROWS = 16
# While hops have other work: a hop's event loop is held up no longer than this many rows take.
MIXED_ROWS = 64
MIXED_BATCHES = 1
MIXED_FOR_NS = NS_PER_S


class InFlightControl:
    """Adapts to what the hops say."""

    def __init__(self, max_rows: int, max_batches: int, target_ns: int) -> None:
        """Starts with one batch of full size.

        Args:
            max_rows: most rows of one batch.
            max_batches: most batches in flight.
            target_ns: queue time at a hop above which fewer rows are kept in flight.
        """
        self._max_rows = max_rows
        self._max_batches = max_batches
        self._target_ns = target_ns
        self._rows = float(max_rows)
        self._narrowed_ns = 0
        self._mixed_until_ns = 0

    @property
    def batch_rows(self) -> int:
        """Most rows of the next batch."""
        most = min(self._max_rows, MIXED_ROWS) if self._mixed else self._max_rows
        return min(most, max(1, int(self._rows)))

    @property
    def batches(self) -> int:
        """Most batches in flight, at least one."""
        most = min(self._max_batches, MIXED_BATCHES) if self._mixed else self._max_batches
        return min(most, max(1, int(self._rows) // self.batch_rows))

    @property
    def _mixed(self) -> bool:
        return time.monotonic_ns() < self._mixed_until_ns

    def foreground(self) -> None:
        """Notes that a hop has other work, too."""
        self._mixed_until_ns = time.monotonic_ns() + MIXED_FOR_NS

    def returned(self, queue_ns: int, begun_ns: int) -> None:
        """Notes a batch that came through.

        Args:
            queue_ns: its longest wait at a hop.
            begun_ns: when it began, on the monotonic clock.
        """
        if queue_ns > self._target_ns:
            # Where nobody else is, what waits is a batch's own rows, and small batches cost more.
            self._narrow(begun_ns, LEAST_ROWS if self._mixed else self._max_rows)
        else:
            step = max(1.0, self._max_rows / GROWTH_STEPS)
            self._rows = min(self._rows + step, float(self._max_rows * self._max_batches))

    def narrow(self, begun_ns: int) -> None:
        """Halves what is in flight, as hops refuse it; once for all batches under way at that time.

        Args:
            begun_ns: when the batch began that asks for it, on the monotonic clock.
        """
        self._narrow(begun_ns, LEAST_ROWS)

    def _narrow(self, begun_ns: int, floor: int) -> None:
        if begun_ns < self._narrowed_ns:
            return
        self._narrowed_ns = time.monotonic_ns()
        least = float(min(floor, self._max_rows))
        self._rows = max(SHRINK * self._rows, min(self._rows, least))
