"""Predictions fetched by many calls at once, read from the queue together."""

from __future__ import annotations

import asyncio

from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import TailraceError
from tailrace.submissions.records import StoredPrediction
from tailrace.submissions.store import SubmissionStore

MAX_ROWS = 256
READS_AT_ONCE = 4


class GroupRead:
    """Reads predictions with their outcomes; what is asked for meanwhile is read next."""

    def __init__(self, store: SubmissionStore) -> None:
        """Keeps the queue."""
        self._store = store
        self._free = READS_AT_ONCE
        self._waiting: dict[str, asyncio.Future[StoredPrediction | None]] = {}
        self._reads: set[asyncio.Task[None]] = set()

    async def get(self, prediction_id: str) -> StoredPrediction | None:
        """Returns a prediction as it is after this call, or None. Raises QueueUnavailable."""
        found = self._waiting.get(prediction_id)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._waiting[prediction_id] = loop.create_future()
            # Not at once: calls that came together go together.
            loop.call_soon(self._depart)
        # Others may wait for the same one.
        return await asyncio.shield(found)

    def _depart(self) -> None:
        while self._free and self._waiting:
            ids = list(self._waiting)[:MAX_ROWS]
            batch = {each: self._waiting.pop(each) for each in ids}
            self._free -= 1
            read = asyncio.create_task(self._read(batch))
            self._reads.add(read)
            read.add_done_callback(self._arrived)

    def _arrived(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        self._free += 1
        self._depart()

    async def _read(self, batch: dict[str, asyncio.Future[StoredPrediction | None]]) -> None:
        try:
            found = await self._store.get(list(batch), outcomes=True)
        except Exception as error:
            failure = error if isinstance(error, TailraceError) else unexpected(error)
            for waiting in batch.values():
                waiting.set_exception(failure)
                # Whoever wants it has it raised; it may be that all have left.
                waiting.exception()
            return
        for waiting, stored in zip(batch.values(), found, strict=True):
            waiting.set_result(stored)
