"""The queue's clock, by which all times of submissions are kept."""

from __future__ import annotations

import asyncio
import time

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.store import SubmissionStore

SYNCHRONISE_EVERY_S = 30.0

_log = structlog.get_logger(__name__)


class QueueClock:
    """Tells the queue's time without asking it each time; this machine's until it was asked."""

    def __init__(self, store: SubmissionStore) -> None:
        """Asks nothing yet."""
        self._store = store
        self._ahead_ms = 0

    def now_ms(self) -> int:
        """Returns the time in ms since 1970."""
        return time.time_ns() // 1_000_000 + self._ahead_ms

    async def keep(self) -> None:
        """Asks from time to time, until cancelled."""
        while True:
            try:
                before_ms = time.time_ns() // 1_000_000
                queue_ms = await self._store.now_ms()
                after_ms = time.time_ns() // 1_000_000
                self._ahead_ms = queue_ms - (before_ms + after_ms) // 2
            except QueueUnavailable as error:
                _log.debug("the queue's clock is away", **{names.ERROR_MESSAGE: error.message})
            await asyncio.sleep(SYNCHRONISE_EVERY_S)
