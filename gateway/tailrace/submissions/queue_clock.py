"""The queue's clock, by which all times of submissions are kept, without asking it each time."""

from __future__ import annotations

import asyncio
import time

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.store import SubmissionStore

MAX_AGE_S = 30.0

_log = structlog.get_logger(__name__)


class QueueClock:
    """Goes on from what the queue said last by the monotonic clock, which nobody sets."""

    def __init__(self, store: SubmissionStore) -> None:
        """Has this machine's time until the queue is asked."""
        self._store = store
        self._asked_s = -float("inf")
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000

    def now_ms(self) -> int:
        """Returns milliseconds since 1970, as far as is known without asking."""
        return int(time.monotonic() * 1000 + self._offset_ms)

    async def asked_ms(self) -> int:
        """Returns milliseconds since 1970, asked for lately. Raises QueueUnavailable."""
        if time.monotonic() - self._asked_s > MAX_AGE_S:
            await self._ask()
        return self.now_ms()

    async def keep(self) -> None:
        """Asks from time to time, until cancelled."""
        while True:
            try:
                await self._ask()
            except QueueUnavailable as error:
                _log.debug("the queue's clock is away", **{names.ERROR_MESSAGE: error.message})
            await asyncio.sleep(MAX_AGE_S)

    async def _ask(self) -> None:
        before_s = time.monotonic()
        queue_ms = await self._store.now_ms()
        self._asked_s = time.monotonic()
        self._offset_ms = queue_ms - (before_s + self._asked_s) / 2 * 1000
