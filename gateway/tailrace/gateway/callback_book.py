"""The registered callbacks, as one gateway knows them: read again when any of them changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from tailrace.submissions.callback_record import CallbackRecord, CallbackStore

# For so long a change made elsewhere may go unnoticed.
MAX_AGE_S = 1.0


class CallbackBook:
    """Answers from memory, which is at most `MAX_AGE_S` behind the queue."""

    def __init__(self, store: CallbackStore) -> None:
        """Knows none yet."""
        self._store = store
        self._known: Mapping[str, CallbackRecord] = {}
        self._revision = -1
        self._checked_s = -float("inf")
        self._reading = asyncio.Lock()

    async def find(self, keys: Iterable[str]) -> dict[str, CallbackRecord]:
        """Returns those callbacks that there are, by key. Raises QueueUnavailable.

        One that is not known may just have been registered: then all are read again, once.
        """
        asked_s = time.monotonic()
        wanted = set(keys)
        await self._bring_up_to_date(asked_s - MAX_AGE_S)
        if not wanted <= self._known.keys():
            await self._bring_up_to_date(asked_s)
        return {key: self._known[key] for key in wanted if key in self._known}

    def forget(self) -> None:
        """Has everything looked up anew: this process has changed a callback."""
        self._checked_s = -float("inf")

    async def _bring_up_to_date(self, since_s: float) -> None:
        """Returns once the callbacks are those of an instant of the monotonic clock, or later."""
        if self._checked_s >= since_s:
            return
        async with self._reading:
            if self._checked_s >= since_s:
                return
            asked_s = time.monotonic()
            # Before the callbacks: what changes in between is then read once too often.
            revision = await self._store.revision()
            if revision != self._revision:
                self._known = await self._store.all()
                self._revision = revision
            self._checked_s = asked_s
