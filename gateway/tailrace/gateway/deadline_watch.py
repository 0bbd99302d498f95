"""Many deadlines on one timer of the event loop.

Nearly all requests have their outcome long before their deadline. A timer each would be set and
cancelled for nothing; here it is an entry in a set, by the millisecond.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Hashable
from typing import Protocol

from tailrace.runtime.deadline import NS_PER_MS, NS_PER_S

# Timers of the event loop tick in milliseconds.
TICK_NS = NS_PER_MS
# Ticks of which nobody waits for, beyond as many as somebody waits for.
EMPTY_TICKS_KEPT = 1_024


class Expiring(Hashable, Protocol):
    """Who has a deadline."""

    def expire(self) -> None:
        """Notes that the deadline is here, up to a tick early."""
        ...


class DeadlineWatch:
    """Tells each of those who wait when their deadline is here."""

    def __init__(self) -> None:
        """Watches nothing yet."""
        self._waiting: dict[int, set[Expiring]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = 0

    def __len__(self) -> int:
        """Returns how many wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, waiter: Expiring, deadline_ns: int) -> int:
        """Takes in one who waits; returns the tick, for `remove`.

        Args:
            waiter: who is told.
            deadline_ns: instant of the monotonic clock.
        """
        tick = -(-deadline_ns // TICK_NS)
        waiting = self._waiting.get(tick)
        if waiting is not None:
            waiting.add(waiter)
            return tick
        self._waiting[tick] = {waiter}
        heapq.heappush(self._ticks, tick)
        if self._timer is None or tick < self._timer_tick:
            self._arm(tick)
        return tick

    def remove(self, waiter: Expiring, tick: int) -> None:
        """Lets one go who waits no more; without effect on one who does not wait."""
        waiting = self._waiting.get(tick)
        if waiting is None:
            return
        waiting.discard(waiter)
        if not waiting:
            del self._waiting[tick]
            if not self._waiting:
                self._disarm()
                self._ticks.clear()
            elif len(self._ticks) > 2 * len(self._waiting) + EMPTY_TICKS_KEPT:
                self._ticks = sorted(self._waiting)

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = (tick * TICK_NS - time.monotonic_ns()) / NS_PER_S
        self._timer_tick = tick
        self._timer = asyncio.get_running_loop().call_later(max(delay_s, 0.0), self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        due = time.monotonic_ns() // TICK_NS + 1
        while self._ticks and (self._ticks[0] <= due or self._ticks[0] not in self._waiting):
            for waiter in self._waiting.pop(heapq.heappop(self._ticks), ()):
                waiter.expire()
        if self._ticks and self._timer is None:
            self._arm(self._ticks[0])
