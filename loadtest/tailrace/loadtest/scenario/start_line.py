"""When a scenario's loads and events begin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

LEAD_S = 15.0
"""Processes of a load are started so long before its first call, in seconds.

On a busy machine it takes them seconds until they can call, and now more, now less, by which loads
that are to follow each other would overlap.
"""


class StartLine:
    """Keeps the time of a scenario, which counts from the first call.

    Attributes:
        began: when that was due, in seconds on the monotonic clock; until then, when it was made.
    """

    def __init__(self, starts: Sequence[float]) -> None:
        """Begins to wait.

        Args:
            starts: when each load is to begin, in seconds after the first call; empty where loads
                do not begin by the clock.
        """
        self.began = time.monotonic()
        self._waits = any(not start for start in starts)
        self._begun = asyncio.Event()
        self._unready = sum(start <= LEAD_S for start in starts)
        self._ready = asyncio.Event()

    def note_begin(self, seconds: float) -> None:
        """Takes down that a load has begun so many seconds ago; the first one counts."""
        if not self._begun.is_set():
            self.began = time.monotonic() - seconds
            self._begun.set()

    async def until(self, seconds: float) -> None:
        """Waits until so many seconds after the first call."""
        if self._waits:
            await self._begun.wait()
        left = self.began + seconds - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)

    async def until_prepared(self, start: float) -> None:
        """Waits until the processes of a load are to be started."""
        if start > LEAD_S:
            await self.until(start - LEAD_S)

    async def until_begin(self, start: float) -> None:
        """Waits until a load is to make its first call; call once its processes could.

        None begins before the processes of all are there that are to start soon after it: that
        takes CPU time, which would be missing.
        """
        if start <= LEAD_S:
            self._unready -= 1
            if not self._unready:
                self._ready.set()
            await self._ready.wait()
        if start:
            await self.until(start)

    def note_over(self) -> None:
        """Takes down that a load is over; short ones are, before anybody is told how they go."""
        self._begun.set()
