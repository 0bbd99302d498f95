"""Looks for what is due, and keeps a line for each callback that has something."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine
from typing import Any

import structlog

from tailrace.courier import metrics
from tailrace.courier.attempt import AttemptParts
from tailrace.courier.breaker import BreakerState
from tailrace.courier.callback_book import CallbackBook
from tailrace.courier.callback_line import CallbackLine
from tailrace.courier.callback_messages import LineParts
from tailrace.courier.ending import end
from tailrace.courier.publisher import publish
from tailrace.courier.retry_schedule import RetrySchedule
from tailrace.courier.settler import Settler
from tailrace.courier.slots import Slots
from tailrace.courier.undertaker import Undertaker
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import CourierSettings
from tailrace.runtime.errors import QueueUnavailable
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.submissions.callback_record import CallbackStore
from tailrace.submissions.ids import partition_of_id
from tailrace.submissions.push.sender import Sender
from tailrace.submissions.queue_clock import QueueClock
from tailrace.submissions.records import DeliveryClaim
from tailrace.submissions.store import SubmissionStore

# What becomes due by time alone is found within this.
LOOK_EVERY_S = 0.25
# Hints come in bursts; a look at all partitions answers many of them.
LOOK_GAP_S = 0.005
TIDY_EVERY_S = 1.0
# Of the grace at the end, what is left for writing what came of attempts.
WRITE_SHARE = 0.2
# A line that has nothing in flight is forgotten after so many times its breaker's time.
FORGET_AFTER_OPENS = 10

_log = structlog.get_logger(__name__)


class Courier:
    """Delivers what is due until it is drained.

    Attributes:
        settler: writes what came of attempts.
        undertaker: makes dead letters of what can no longer be delivered.
        book: the registered callbacks.
        clock: the queue's.
    """

    def __init__(
        self,
        settings: CourierSettings,
        store: SubmissionStore,
        callbacks: CallbackStore,
        sender: Sender,
    ) -> None:
        """Begins nothing yet."""
        self._store = store
        self._sender = sender
        self._lines: dict[str, CallbackLine] = {}
        self._busy_s: dict[str, float] = {}
        self._forget_after_s = settings.courier_breaker_open_ms / 1000 * FORGET_AFTER_OPENS
        self.settler = Settler(store)
        self.undertaker = Undertaker(store)
        self.clock = QueueClock(store)
        self.book = CallbackBook(
            callbacks,
            allow_plaintext=settings.callback_allow_plaintext,
            on_end=self.undertaker.bury,
            on_change=self._changed,
        )
        schedule = RetrySchedule(settings.courier_retry_s, settings.courier_jitter)
        self._parts = LineParts(
            settings=settings,
            store=store,
            book=self.book,
            attempts=AttemptParts(
                sender=sender, clock=self.clock, schedule=schedule, tracing=process_tracing()
            ),
            settler=self.settler,
            slots=Slots(settings.courier_max_in_flight),
            bury=self.undertaker.bury,
        )

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """Returns all that is to run while the process does; the first looks for what is due."""
        publishing = [
            publish(self._store, partition) for partition in range(self._store.partitions)
        ]
        return [
            self.run(),
            self.tidy(),
            self.clock.keep(),
            self.book.watch(),
            self.undertaker.run(),
            *publishing,
        ]

    async def run(self) -> None:
        """Looks for what is due, until cancelled."""
        while True:
            looked_s = time.monotonic()
            try:
                await self._look()
            except QueueUnavailable as error:
                _log.debug("nothing looked for", **{names.ERROR_MESSAGE: error.message})
            await self._store.wait_due(LOOK_EVERY_S)
            gap_s = looked_s + LOOK_GAP_S - time.monotonic()
            if gap_s > 0:
                await asyncio.sleep(gap_s)

    async def tidy(self) -> None:
        """Forgets what has been idle, and tells of breakers, until cancelled."""
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            self._forget_idle()
            states = Counter(line.breaker.state for line in self._lines.values())
            for state in BreakerState:
                metrics.BREAKERS.labels(state.value).set(states[state])
            await self._sender.close_idle()

    async def drain(self, grace_s: float) -> None:
        """Claims no more; returns once what is in flight has ended and is written, or is given up.

        Args:
            grace_s: for all of it. What is given up is given back, for others to deliver.
        """
        end_s = time.monotonic() + grace_s
        send_until_s = end_s - grace_s * WRITE_SHARE
        for line in self._lines.values():
            line.stop()
        while tasks := [task for line in self._lines.values() for task in line.tasks()]:
            left_s = send_until_s - time.monotonic()
            if left_s <= 0:
                await end(tasks)
                break
            # What was being claimed is sent, too, and takes its time.
            await asyncio.wait(tasks, timeout=left_s)
        try:
            async with asyncio.timeout(max(0.0, end_s - time.monotonic())):
                await asyncio.gather(self.settler.flush(), self._give_back())
        except TimeoutError:
            _log.warning("attempts not written in time")
        await self.settler.close()

    async def _give_back(self) -> None:
        """Lets others deliver what was given up, which need not wait for its lease to end."""
        by_partition: dict[int, list[DeliveryClaim]] = defaultdict(list)
        for line in self._lines.values():
            for claim in line.messages.given_up:
                by_partition[partition_of_id(claim.prediction_id) or 0].append(claim)
            line.messages.given_up.clear()
        for partition, claims in by_partition.items():
            _log.warning(
                "deliveries given back", **{names.PARTITION: partition, names.ROWS: len(claims)}
            )
            try:
                await self._store.release_deliveries(partition, claims)
            except QueueUnavailable as error:
                _log.warning("not given back", **{names.ERROR_MESSAGE: error.message})

    async def _look(self) -> None:
        partitions = range(self._store.partitions)
        found = await asyncio.gather(
            *(self._store.due_callbacks(partition) for partition in partitions)
        )
        for partition, keys in zip(partitions, found, strict=True):
            for key in keys:
                line = self._lines.get(key)
                if line is None:
                    line = self._lines[key] = CallbackLine(key, self._parts)
                line.due(partition)

    def _changed(self, key: str) -> None:
        line = self._lines.get(key)
        if line is not None:
            line.changed()

    def _forget_idle(self) -> None:
        now_s = time.monotonic()
        for key, line in list(self._lines.items()):
            if line.tasks():
                self._busy_s[key] = now_s
            elif line.is_idle or now_s - self._busy_s.get(key, now_s) > self._forget_after_s:
                del self._lines[key]
                self._busy_s.pop(key, None)
