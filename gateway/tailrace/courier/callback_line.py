"""All that goes to one callback: claimed, bounded, and left alone when it is in trouble."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

import structlog

from tailrace.courier.breaker import Breaker, BreakerState
from tailrace.courier.callback_messages import CallbackMessages, LineParts
from tailrace.courier.slots import Pool, Slot
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.records import DeadReason, DeliveryClaim
from tailrace.submissions.store_base import MOST_PER_SCRIPT

# A claim lasts longer than its attempt by this: the way there and back, and the writing.
LEASE_MARGIN_MS = 10_000
QUEUE_RETRY_S = 0.2
# As messages end one by one, for so long: to claim one costs about as much as to claim dozens.
GATHER_S = 0.005

_log = structlog.get_logger(__name__)


class CallbackLine:
    """The line of deliveries to one callback.

    Attributes:
        breaker: of this callback.
        messages: those in flight.
    """

    def __init__(self, key: str, parts: LineParts) -> None:
        """Sends nothing before it is told of what is due.

        Args:
            key: of the callback.
            parts: what all lines share.
        """
        self._key = key
        self._parts = parts
        settings = parts.settings
        self.breaker = Breaker(
            settings.courier_breaker_failures, settings.courier_breaker_open_ms / 1000
        )
        self._due: deque[int] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.messages = CallbackMessages(key, parts, self.breaker, self._changed.set)
        self._claiming = False
        self._stopped = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due, as far as is known, nothing in flight, and nothing remembered."""
        is_quiet = self._pump is None and not self.messages
        return is_quiet and self.breaker.state is BreakerState.CLOSED and not self.breaker.failures

    def due(self, partition: int) -> None:
        """Tells that a partition has something due for it."""
        if self._stopped:
            return
        self._remember(partition)
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name=f"callback {self._key}")

    def changed(self) -> None:
        """Tells that the callback was changed: what it is now has done nothing wrong yet."""
        self.breaker.succeeded()
        self._changed.set()

    def stop(self) -> None:
        """Claims no more; what is in flight goes on."""
        self._stopped = True
        # What is being claimed is sent, too, so that nobody has to wait for its lease to end.
        if self._pump is not None and not self._claiming:
            self._pump.cancel()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Returns what is still under way."""
        pump = [] if self._pump is None else [self._pump]
        return [*pump, *self.messages.tasks()]

    async def _run(self) -> None:
        try:
            while self._due and not self._stopped:
                try:
                    await self._send_some()
                except QueueUnavailable as error:
                    _log.debug("nothing claimed", **{names.ERROR_MESSAGE: error.message})
                    await asyncio.sleep(QUEUE_RETRY_S)
                except Exception as error:  # one callback's trouble, which ends no other's line
                    _log.error("callback line failed", exc_info=error)
                    await asyncio.sleep(QUEUE_RETRY_S)
        finally:
            self._pump = None

    async def _send_some(self) -> None:
        """Claims and sends some of what is due, once some may be in flight."""
        await self._parts.settler.room()
        # Before the waits, as it says how much may be in flight; and after, as it may have changed.
        if not await self._takes_results():
            return
        room = await self._room()
        if not await self._takes_results():
            return
        probing = self.breaker.state is not BreakerState.CLOSED
        batch = 1 if probing else self.messages.max_batch
        pool = self._pool()
        free = await pool.take(1 if probing else min(room, -(-MOST_PER_SCRIPT // batch)))
        if self._stopped:
            pool.give_back(free)
            return
        self._claiming = True
        try:
            if probing:
                self.breaker.begin_probe()
            claims = await self._claim(min(free * batch, max(batch, MOST_PER_SCRIPT)))
            for first in range(0, len(claims), batch):
                self.messages.send(claims[first : first + batch], Slot(self._parts.slots, pool))
                free -= 1
        finally:
            self._claiming = False
            if probing and not self.messages:
                self.breaker.give_up_probe()
            if free:
                pool.give_back(free)

    async def _takes_results(self) -> bool:
        """Returns whether the callback takes results; else lets them be dead letters."""
        if self.messages.is_inline:
            return True
        self.messages.entry = await self._parts.book.find(self._key)
        if self.messages.entry is not None and self.messages.entry.record.enabled:
            return True
        self._due.clear()
        deleted = self.messages.entry is None
        self._parts.bury(
            self._key, DeadReason.CALLBACK_DELETED if deleted else DeadReason.CALLBACK_DISABLED
        )
        return False

    async def _room(self) -> int:
        """Returns how many messages more it may have, once it may have one."""
        gather_until_s = 0.0
        while True:
            wait_s = self.breaker.wait_s()
            room = self.messages.max_in_flight - len(self.messages)
            if wait_s == 0 and room > 0:
                if not self.messages or room >= self.messages.max_in_flight // 2:
                    return room
                now_s = time.monotonic()
                gather_until_s = gather_until_s or now_s + GATHER_S
                if now_s >= gather_until_s:
                    return room
                wait_s = gather_until_s - now_s
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                # Without room, only the end of a message makes some.
                async with asyncio.timeout(wait_s or None):
                    await self._changed.wait()

    async def _claim(self, wanted: int) -> list[DeliveryClaim]:
        """Claims what is due, at most so much. Raises QueueUnavailable if it got nothing."""
        claims: list[DeliveryClaim] = []
        while self._due and len(claims) < wanted:
            asked = min(wanted - len(claims), MOST_PER_SCRIPT)
            # Before it is asked, as it may be told of again meanwhile.
            partition = self._due.popleft()
            try:
                found = await self._parts.store.claim_deliveries(
                    partition, self._key, asked, self.messages.timeout_ms + LEASE_MARGIN_MS
                )
            except QueueUnavailable:
                self._remember(partition)
                if claims:
                    break
                raise
            claims += found
            if len(found) == asked:
                self._remember(partition)
        return claims

    def _remember(self, partition: int) -> None:
        if partition not in self._due:
            self._due.append(partition)

    def _pool(self) -> Pool:
        slots = self._parts.slots
        is_suspect = self.breaker.failures > 0 or self.messages.any_slow
        return slots.slow if is_suspect else slots.prompt
