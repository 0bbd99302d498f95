"""All that goes to one callback: claimed, sent, bounded, and left alone when it is in trouble."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

from tailrace.courier import metrics
from tailrace.courier.attempt import AttemptEnd, AttemptParts, attempt
from tailrace.courier.breaker import Breaker, BreakerState
from tailrace.courier.callback_book import BookEntry, CallbackBook
from tailrace.courier.settler import Settler
from tailrace.courier.slots import Pool, Slot, Slots
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import CourierSettings
from tailrace.runtime.errors import QueueUnavailable, TailraceError
from tailrace.submissions.ids import partition_of_id
from tailrace.submissions.push.destination import Destination, inline_destination
from tailrace.submissions.records import DeadReason, DeliveryClaim, DeliveryResult
from tailrace.submissions.store import SubmissionStore
from tailrace.submissions.store_base import MOST_PER_SCRIPT
from tailrace.webhooks.errors import MalformedKey

# A claim lasts longer than its attempt by this: the way there and back, and the writing.
LEASE_MARGIN_MS = 10_000
QUEUE_RETRY_S = 0.2
# As messages end one by one, for so long: to claim one costs about as much as to claim dozens.
GATHER_S = 0.005
# So many results are worth a write of their own.
WRITTEN_AT_ONCE = 64
GONE = "GONE"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineParts:
    """What the lines of all callbacks share.

    Attributes:
        bury: told the key of a callback that has ended, and why.
    """

    settings: CourierSettings
    store: SubmissionStore
    book: CallbackBook
    attempts: AttemptParts
    settler: Settler
    slots: Slots
    bury: Callable[[str, DeadReason], None]


class CallbackLine:
    """The line of deliveries to one callback.

    Attributes:
        breaker: of this callback.
        given_up: what was claimed, and whose message was cancelled.
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
        self._messages: dict[asyncio.Task[None], Slot] = {}
        self.given_up: list[DeliveryClaim] = []
        self._changed = asyncio.Event()
        self._entry: BookEntry | None = None
        self._inline: Destination | None = None
        self._claiming = False
        self._stopped = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due, as far as is known, nothing in flight, and nothing remembered."""
        is_quiet = self._pump is None and not self._messages
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
        return [*pump, *self._messages]

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
        batch = 1 if probing else self._max_batch
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
                self._send(claims[first : first + batch], Slot(self._parts.slots, pool))
                free -= 1
        finally:
            self._claiming = False
            if probing and not self._messages:
                self.breaker.give_up_probe()
            if free:
                pool.give_back(free)

    async def _takes_results(self) -> bool:
        """Returns whether the callback takes results; else lets them be dead letters."""
        if self._is_inline:
            return True
        self._entry = await self._parts.book.find(self._key)
        if self._entry is not None and self._entry.record.enabled:
            return True
        self._due.clear()
        deleted = self._entry is None
        self._parts.bury(
            self._key, DeadReason.CALLBACK_DELETED if deleted else DeadReason.CALLBACK_DISABLED
        )
        return False

    async def _room(self) -> int:
        """Returns how many messages more it may have, once it may have one."""
        gather_until_s = 0.0
        while True:
            wait_s = self.breaker.wait_s()
            room = self._max_in_flight - len(self._messages)
            if wait_s == 0 and room > 0:
                if not self._messages or room >= self._max_in_flight // 2:
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
                    partition, self._key, asked, self._timeout_ms + LEASE_MARGIN_MS
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

    def _send(self, claims: Sequence[DeliveryClaim], slot: Slot) -> None:
        task = asyncio.create_task(self._message(claims), name=f"message to {self._key}")
        self._messages[task] = slot
        metrics.IN_FLIGHT.inc()
        task.add_done_callback(lambda done: self._sent(done, claims))

    def _sent(self, task: asyncio.Task[None], claims: Sequence[DeliveryClaim]) -> None:
        self._messages.pop(task).give_back()
        metrics.IN_FLIGHT.dec()
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The leases end by themselves, and it is tried again.
            self.breaker.failed()
            _log.error("message failed unexpectedly", exc_info=error)
        elif task.cancelled():
            self.given_up += claims
            self.breaker.give_up_probe()

    async def _message(self, claims: Sequence[DeliveryClaim]) -> None:
        destination = self._inline_of(claims[0]) if self._is_inline else self._registered
        end = await attempt(
            self._parts.attempts, self._key, destination, claims, self._timeout_ms / 1000
        )
        results = end.results
        if end.gone and not await self._disable():
            # It is another by now, or not known to be disabled: their leases end, and they are
            # tried again.
            results = [
                result
                for result in results
                if result.dead_reason is not DeadReason.CALLBACK_DISABLED
            ]
        self._tell_breaker(end)
        by_partition: dict[int, list[DeliveryResult]] = defaultdict(list)
        for result in results:
            by_partition[partition_of_id(result.prediction_id) or 0].append(result)
        # In an ordered callback, the next result waits for this one's end.
        ordered = self._entry is not None and self._entry.record.ordered
        for partition, some in by_partition.items():
            at_once = ordered or len(some) >= WRITTEN_AT_ONCE
            self._parts.settler.add(partition, some, at_once=at_once)

    def _tell_breaker(self, end: AttemptEnd) -> None:
        if end.taken:
            self.breaker.succeeded()
        elif self.breaker.failed(end.retry_after_s):
            _log.warning(
                "callback left alone",
                **{names.CALLBACK: self._key, names.FAILURES: self.breaker.failures},
            )

    async def _disable(self) -> bool:
        """Disables the callback, which answered that it is gone; returns whether it did."""
        if self._entry is not None:
            try:
                if not await self._parts.book.disable(self._entry, GONE):
                    return False
            except QueueUnavailable as error:
                _log.warning("callback not disabled", **{names.ERROR_MESSAGE: error.message})
                return False
        _log.warning("callback disabled", **{names.CALLBACK: self._key, names.REASON: GONE})
        self._parts.bury(self._key, DeadReason.CALLBACK_DISABLED)
        return True

    def _pool(self) -> Pool:
        slots = self._parts.slots
        is_suspect = self.breaker.failures > 0 or any(
            slot.is_slow for slot in self._messages.values()
        )
        return slots.slow if is_suspect else slots.prompt

    def _inline_of(self, claim: DeliveryClaim) -> Destination | None:
        if self._inline is None:
            allow_plaintext = self._parts.settings.callback_allow_plaintext
            try:
                self._inline = inline_destination(claim.inline, allow_plaintext=allow_plaintext)
            except (TailraceError, MalformedKey, DecodeError) as error:
                _log.warning(
                    "callback cannot be used",
                    **{names.CALLBACK: self._key, names.ERROR_MESSAGE: str(error)},
                )
        return self._inline

    @property
    def _is_inline(self) -> bool:
        return "/" not in self._key

    @property
    def _registered(self) -> Destination | None:
        return None if self._entry is None else self._entry.destination

    @property
    def _timeout_ms(self) -> int:
        destination = self._registered
        own = 0 if destination is None else destination.attempt_timeout_ms
        return own or self._parts.settings.courier_attempt_timeout_ms

    @property
    def _max_in_flight(self) -> int:
        destination = self._registered
        own = 0 if destination is None else destination.max_in_flight
        return own or self._parts.settings.courier_callback_in_flight

    @property
    def _max_batch(self) -> int:
        destination = self._registered
        return 1 if destination is None else destination.max_batch
