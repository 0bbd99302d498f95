"""Writes what came of attempts: many at once, and again while the queue is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from tailrace.courier import metrics
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.records import DeliveryResult
from tailrace.submissions.store import SubmissionStore

MAX_UNWRITTEN = 20_000
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 1.0
# What comes within this goes together: to write one costs about as much as to write dozens.
GATHER_S = 0.01

_log = structlog.get_logger(__name__)


class Settler:
    """Collects results of each partition while the ones before are being written."""

    def __init__(self, store: SubmissionStore) -> None:
        """Takes where to write."""
        self._store = store
        self._collected: dict[int, list[DeliveryResult]] = {}
        self._writers: dict[int, asyncio.Task[None]] = {}
        self._hurry: dict[int, asyncio.Event] = {}
        self._unwritten = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    def add(
        self, partition: int, results: Sequence[DeliveryResult], *, at_once: bool = False
    ) -> None:
        """Takes results to write.

        Args:
            partition: of all of them.
            results: what came of attempts.
            at_once: whether something waits for them to be written.
        """
        self._collected.setdefault(partition, []).extend(results)
        self._count(len(results))
        if partition not in self._writers:
            self._hurry[partition] = asyncio.Event()
            self._writers[partition] = asyncio.create_task(
                self._write(partition), name=f"settle {partition}"
            )
        if at_once:
            self._hurry[partition].set()

    async def room(self) -> None:
        """Returns once so few are unwritten that more may be claimed."""
        await self._has_room.wait()

    async def flush(self) -> None:
        """Returns once all is written."""
        while self._writers:
            await asyncio.wait(list(self._writers.values()))

    async def close(self) -> None:
        """Gives up what is not written; its leases end by themselves, and others deliver it."""
        writers = list(self._writers.values())
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        if self._unwritten:
            _log.warning("attempts left unwritten", **{names.ROWS: self._unwritten})

    async def _write(self, partition: int) -> None:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_S):
                        await self._hurry[partition].wait()
                self._hurry[partition].clear()
                results = self._collected.pop(partition, None)
                if not results:
                    break
                await self._write_all(partition, results)
                self._count(-len(results))
        finally:
            del self._writers[partition]
            del self._hurry[partition]

    async def _write_all(self, partition: int, results: list[DeliveryResult]) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            try:
                written = await self._store.settle_deliveries(partition, results)
            except QueueUnavailable as error:
                # What was written already is refused the second time, and no harm is done.
                _log.debug("attempts not written yet", **{names.ERROR_MESSAGE: error.message})
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, LAST_RETRY_S)
                continue
            metrics.count_settled(results, written)
            return

    def _count(self, added: int) -> None:
        self._unwritten += added
        metrics.UNWRITTEN.set(self._unwritten)
        if self._unwritten >= MAX_UNWRITTEN:
            self._has_room.clear()
        else:
            self._has_room.set()
