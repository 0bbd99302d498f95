"""Whose turn it is in a process: background batches wait while there are others.

A hop's work on a batch cannot be interrupted, so the only place to prefer the callers who wait for
their answers is before it begins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tailrace.runtime.deadline import NS_PER_MS, NS_PER_S

# Longest wait of a background batch: where others never pause, it still gets its turn.
MAX_WAIT_NS = 50 * NS_PER_MS
# How long after the last of the others a process still counts as having them.
FOREGROUND_KEPT_NS = NS_PER_S
_NEVER = -FOREGROUND_KEPT_NS


class Turns:
    """Knows which batches of a process are under way."""

    def __init__(self) -> None:
        """Knows of none."""
        self._under_way = 0
        self._last_ns = _NEVER
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def foreground(self) -> bool:
        """Whether there are batches of the other priorities, or were a moment ago."""
        return bool(self._under_way) or time.monotonic_ns() - self._last_ns < FOREGROUND_KEPT_NS

    @contextmanager
    def others(self) -> Iterator[None]:
        """Holds background batches back until its body is left."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._last_ns = time.monotonic_ns()
                self._wake()

    async def background(self, latest_ns: int) -> None:
        """Returns once there are no others, or at a bound.

        Args:
            latest_ns: when to return at the latest, on the monotonic clock.
        """
        until_ns = min(time.monotonic_ns() + MAX_WAIT_NS, latest_ns)
        # Those that have been received in the same turn of the loop go first.
        await asyncio.sleep(0)
        while self._under_way:
            left_ns = until_ns - time.monotonic_ns()
            if left_ns <= 0:
                return
            let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(let_in)
            try:
                await asyncio.wait([let_in], timeout=left_ns / NS_PER_S)
            finally:
                if not let_in.done():
                    self._waiting.remove(let_in)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for let_in in waiting:
            if not let_in.done():
                let_in.set_result(None)


PROCESS_TURNS = Turns()
"""Of this process: hops that share one share its event loop, too."""
