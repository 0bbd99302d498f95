"""The queue's clock, without asking for it each time."""

from __future__ import annotations

import time

from tailrace.submissions.store import SubmissionStore

MAX_AGE_S = 30.0


class QueueClock:
    """Goes on from what the queue said last by the monotonic clock, which nobody sets."""

    def __init__(self, store: SubmissionStore) -> None:
        """Has not asked yet."""
        self._store = store
        self._asked_s = -float("inf")
        self._offset_ms = 0.0

    async def now_ms(self) -> int:
        """Returns milliseconds since 1970 by the queue's clock. Raises QueueUnavailable."""
        if time.monotonic() - self._asked_s > MAX_AGE_S:
            self._offset_ms = await self._store.now_ms() - time.monotonic() * 1000
            self._asked_s = time.monotonic()
        return int(time.monotonic() * 1000 + self._offset_ms)
