"""The messages to one callback that are in flight, and what comes of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

from tailrace.courier import metrics
from tailrace.courier.attempt import AttemptEnd, AttemptParts, attempt
from tailrace.courier.breaker import Breaker
from tailrace.courier.callback_book import BookEntry, CallbackBook
from tailrace.courier.settler import Settler
from tailrace.courier.slots import Slot, Slots
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import CourierSettings
from tailrace.runtime.errors import QueueUnavailable, TailraceError
from tailrace.submissions.ids import partition_of_id
from tailrace.submissions.push.destination import Destination, inline_destination
from tailrace.submissions.records import DeadReason, DeliveryClaim, DeliveryResult
from tailrace.submissions.store import SubmissionStore
from tailrace.webhooks.errors import MalformedKey

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


class CallbackMessages:
    """Sends messages to one callback, and tells its breaker what came of them.

    Attributes:
        entry: what is registered, as the line last saw it; None for an inline callback.
        given_up: what was claimed, and whose message was cancelled.
    """

    def __init__(
        self, key: str, parts: LineParts, breaker: Breaker, on_end: Callable[[], None]
    ) -> None:
        """Sends nothing yet.

        Args:
            key: of the callback.
            parts: what all lines share.
            breaker: of the callback.
            on_end: called when a message has ended.
        """
        self._key = key
        self._parts = parts
        self._breaker = breaker
        self._on_end = on_end
        self._in_flight: dict[asyncio.Task[None], Slot] = {}
        self._inline: Destination | None = None
        self.entry: BookEntry | None = None
        self.given_up: list[DeliveryClaim] = []
        self._has_taken = False

    def __len__(self) -> int:
        """Returns how many are in flight."""
        return len(self._in_flight)

    def tasks(self) -> list[asyncio.Task[None]]:
        """Returns those in flight."""
        return list(self._in_flight)

    @property
    def any_slow(self) -> bool:
        """Whether one of them takes long."""
        return any(slot.is_slow for slot in self._in_flight.values())

    @property
    def is_inline(self) -> bool:
        """Whether it is not registered, but named by its submissions."""
        return "/" not in self._key

    @property
    def timeout_ms(self) -> int:
        """How long an attempt may take."""
        destination = self._registered
        own = 0 if destination is None else destination.attempt_timeout_ms
        return own or self._parts.settings.courier_attempt_timeout_ms

    @property
    def max_in_flight(self) -> int:
        """Most messages at once: one, until it has taken one.

        So callbacks that hang, however many are met at a time, have few of the slots of those
        that do not.
        """
        if not self._has_taken:
            return 1
        destination = self._registered
        own = 0 if destination is None else destination.max_in_flight
        return own or self._parts.settings.courier_callback_in_flight

    @property
    def max_batch(self) -> int:
        """Most results of one message."""
        destination = self._registered
        return 1 if destination is None else destination.max_batch

    def send(self, claims: Sequence[DeliveryClaim], slot: Slot) -> None:
        """Sends one message with claims, whose slot is given back at its end."""
        task = asyncio.create_task(self._message(claims), name=f"message to {self._key}")
        self._in_flight[task] = slot
        metrics.IN_FLIGHT.inc()
        task.add_done_callback(lambda done: self._sent(done, claims))

    def _sent(self, task: asyncio.Task[None], claims: Sequence[DeliveryClaim]) -> None:
        self._in_flight.pop(task).give_back()
        metrics.IN_FLIGHT.dec()
        self._on_end()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The leases end by themselves, and it is tried again.
            self._breaker.failed()
            _log.error("message failed unexpectedly", exc_info=error)
        elif task.cancelled():
            self.given_up += claims
            self._breaker.give_up_probe()

    async def _message(self, claims: Sequence[DeliveryClaim]) -> None:
        destination = self._inline_of(claims[0]) if self.is_inline else self._registered
        end = await attempt(
            self._parts.attempts, self._key, destination, claims, self.timeout_ms / 1000
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
        ordered = self.entry is not None and self.entry.record.ordered
        for partition, some in by_partition.items():
            at_once = ordered or len(some) >= WRITTEN_AT_ONCE
            self._parts.settler.add(partition, some, at_once=at_once)

    def _tell_breaker(self, end: AttemptEnd) -> None:
        if end.taken:
            self._has_taken = True
            self._breaker.succeeded()
        elif self._breaker.failed(end.retry_after_s):
            _log.warning(
                "callback left alone",
                **{names.CALLBACK: self._key, names.FAILURES: self._breaker.failures},
            )

    async def _disable(self) -> bool:
        """Disables the callback, which answered that it is gone; returns whether it did."""
        if self.entry is not None:
            try:
                if not await self._parts.book.disable(self.entry, GONE):
                    return False
            except QueueUnavailable as error:
                _log.warning("callback not disabled", **{names.ERROR_MESSAGE: error.message})
                return False
        _log.warning("callback disabled", **{names.CALLBACK: self._key, names.REASON: GONE})
        self._parts.bury(self._key, DeadReason.CALLBACK_DISABLED)
        return True

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
    def _registered(self) -> Destination | None:
        return None if self.entry is None else self.entry.destination
