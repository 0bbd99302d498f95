"""Makes dead letters of what waits for callbacks that take nothing any more."""

from __future__ import annotations

import asyncio

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.records import DeadReason
from tailrace.submissions.store import SubmissionStore

KILLED_AT_ONCE = 500
RETRY_S = 0.5

_log = structlog.get_logger(__name__)


class Undertaker:
    """Kills deliveries of callbacks that were disabled or deleted, due or not."""

    def __init__(self, store: SubmissionStore) -> None:
        """Takes the queue."""
        self._store = store
        self._ended: dict[str, DeadReason] = {}
        self._told = asyncio.Event()

    def bury(self, callback_key: str, reason: DeadReason) -> None:
        """Tells that a callback has ended."""
        self._ended[callback_key] = reason
        self._told.set()

    async def run(self) -> None:
        """Does what it is told, until cancelled."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._ended:
                key = next(iter(self._ended))
                # Taken out first: whoever tells of it meanwhile has it done once more.
                reason = self._ended.pop(key)
                try:
                    await self._kill(key, reason)
                except QueueUnavailable as error:
                    _log.debug("dead letters not written", **{names.ERROR_MESSAGE: error.message})
                    self._ended.setdefault(key, reason)
                    await asyncio.sleep(RETRY_S)

    async def _kill(self, key: str, reason: DeadReason) -> None:
        killed = 0
        for partition in range(self._store.partitions):
            while True:
                count = await self._store.kill_deliveries(partition, key, reason, KILLED_AT_ONCE)
                killed += count
                if count < KILLED_AT_ONCE:
                    break
        if killed:
            _log.warning(
                "deliveries given up",
                **{names.CALLBACK: key, names.REASON: reason.value, names.ROWS: killed},
            )
