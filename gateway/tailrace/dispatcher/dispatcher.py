"""Takes submissions from the queue through the chain, in batches.

What is out of the ordinary runs alone: a submission that has cost a dispatcher its life, and those
that were there when a hop died. Everything else shares the hops, as many as these bear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from tailrace.dispatcher import metrics
from tailrace.dispatcher.breaker import PROBE_ROWS, Breaker
from tailrace.dispatcher.claimed_batch import BatchParts, ClaimedBatch
from tailrace.dispatcher.control import InFlightControl
from tailrace.dispatcher.suspects import Suspects
from tailrace.dispatcher.upkeep import attempt
from tailrace.dispatcher.verdicts import given_back
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import NS_PER_S
from tailrace.submissions.records import Claim
from tailrace.submissions.store import SubmissionStore

# How often the queue is looked at though nobody says that anything is in it, as leases end.
LOOK_EVERY_S = 0.5
QUEUE_AWAY_S = 0.5
# What comes while little waits gathers for so long: a small batch costs the hops about as much as a
# large one, and nobody waits for it.
GATHER_S = 0.02
# Of the grace: how long what runs may take until it is ended and given back.
DRAIN_SHARE = 0.7

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Claims, runs, learns.

    Attributes:
        batches: whose leases are to be kept: those that run, and those that wait to run alone.
        control: how many may be in flight.
        breaker: whether the chain answers at all.
    """

    def __init__(
        self,
        store: SubmissionStore,
        parts: BatchParts,
        control: InFlightControl,
        suspects: Suspects,
    ) -> None:
        """Claims nothing yet.

        Args:
            store: the queue.
            parts: what batches need.
            control: how many may be in flight.
            suspects: who is to run alone.
        """
        self.batches: set[ClaimedBatch] = set()
        self.control = control
        self.breaker = Breaker()
        self._store = store
        self._parts = parts
        self._suspects = suspects
        self._running: dict[ClaimedBatch, asyncio.Task[None]] = {}
        self._ended = asyncio.Event()
        self._stopping = asyncio.Event()
        # By partition, most rows of the next claim: few after one that came from a dead dispatcher,
        # as all that a process holds when it dies share the suspicion.
        self._careful_rows: dict[int, int] = {}
        self._away_until_s: dict[int, float] = {}
        metrics.IN_FLIGHT.set_function(lambda: len(self._running))
        metrics.BATCHES_LIMIT.set_function(lambda: self._most_batches())
        metrics.ROWS_LIMIT.set_function(lambda: self._most_rows())
        metrics.BREAKER_OPEN.set_function(lambda: self.breaker.is_open)

    async def run(self) -> None:
        """Claims and runs until `drain`."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began_s, rows = loop.time(), 0
            for partition in range(self._store.partitions):
                if not await self._turn():
                    return
                claims = await self._claim(partition)
                if claims:
                    rows += len(claims)
                    await self._begin(partition, claims)
            if not rows:
                await self._until_stopping(self._store.wait_queued(LOOK_EVERY_S))
            elif rows < self._most_rows():
                await self._pause(max(0.0, began_s + GATHER_S - loop.time()))

    async def drain(self, claiming: asyncio.Task[None], grace_s: float) -> None:
        """Ends: claims no more, lets what runs finish within the grace, gives the rest back.

        Args:
            claiming: the task of `run`; done when this returns.
            grace_s: how long this may take.
        """
        self._stopping.set()
        self._ended.set()
        await self._all_done(claiming, grace_s * DRAIN_SHARE)
        for batch in self._running:
            batch.stop()
        await self._all_done(claiming, grace_s * (1 - DRAIN_SHARE))
        left = sum(len(batch.held) for batch in self.batches)
        if left:
            # Their leases end, and others take them.
            _log.error("claims could not be given back", **{names.FAILED_ROWS: left})
        tasks = [claiming, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _all_done(self, claiming: asyncio.Task[None], timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while loop.time() < until_s:
            tasks = [task for task in (claiming, *self._running.values()) if not task.done()]
            if not tasks:
                return
            await asyncio.wait(tasks, timeout=until_s - loop.time())

    # -- claiming ----------------------------------------------------------------------------

    async def _turn(self) -> bool:
        """Returns once one more batch may run; False if there is to be none."""
        while not self._stopping.is_set():
            wait_ns = self.breaker.wait_ns()
            if wait_ns:
                await self._pause(wait_ns / NS_PER_S)
            elif len(self._running) < self._most_batches():
                return True
            else:
                await self._one_ended()
        return False

    def _most_batches(self) -> int:
        return 1 if self.breaker.is_open else self.control.batches

    def _most_rows(self) -> int:
        return min(self.control.batch_rows, PROBE_ROWS if self.breaker.is_open else 2**31)

    async def _claim(self, partition: int) -> list[Claim]:
        loop = asyncio.get_running_loop()
        if loop.time() < self._away_until_s.get(partition, 0.0):
            return []
        claims: list[Claim] = []

        async def claim() -> None:
            rows = min(self._most_rows(), self._careful_rows.get(partition, 2**31))
            claims.extend(await self._store.claim(partition, rows))

        if not await attempt("claim", partition, claim()):
            self._away_until_s[partition] = loop.time() + QUEUE_AWAY_S
        metrics.CLAIMS.inc(len(claims))
        return claims

    async def _begin(self, partition: int, claims: Sequence[Claim]) -> None:
        """Lets claims run; returns at once, or after those that have to run alone."""
        crashed = [claim for claim in claims if claim.crashes]
        self._careful(partition, bool(crashed))
        # All that this process holds when it dies would be suspected: of these, it holds one.
        if crashed[1:]:
            await self._parts.writer.write(
                partition, (), [given_back(claim) for claim in crashed[1:]]
            )
        together: list[Claim] = []
        groups = [crashed[:1]] if crashed else []
        suspected: dict[int, list[Claim]] = {}
        for claim in claims:
            if not claim.crashes:
                rows = self._suspects.group_rows(claim.prediction_id)
                (together if rows is None else suspected.setdefault(rows, [])).append(claim)
        for rows, those in suspected.items():
            groups += [those[start : start + rows] for start in range(0, len(those), rows)]
        alone = [ClaimedBatch(partition, group, self._parts, alone=True) for group in groups]
        # They wait for their turn, and keep their leases meanwhile.
        self.batches.update(alone)
        if together:
            self._launch(ClaimedBatch(partition, together, self._parts))
        for batch in alone:
            await self._run_alone(batch)

    def _careful(self, partition: int, crashed: bool) -> None:
        if crashed:
            self._careful_rows[partition] = 1
        elif partition in self._careful_rows:
            self._careful_rows[partition] *= 2
            if self._careful_rows[partition] >= self.control.batch_rows:
                del self._careful_rows[partition]

    async def _run_alone(self, batch: ClaimedBatch) -> None:
        while self._running and not self._stopping.is_set():
            await self._one_ended()
        while self.breaker.wait_ns() and not self._stopping.is_set():
            await self._pause(self.breaker.wait_ns() / NS_PER_S)
        if self._stopping.is_set():
            await batch.give_back()
            self.batches.discard(batch)
        else:
            await asyncio.wait([self._launch(batch)])

    # -- running -----------------------------------------------------------------------------

    def _launch(self, batch: ClaimedBatch) -> asyncio.Task[None]:
        metrics.BATCH_ROWS.observe(len(batch))
        self.batches.add(batch)
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._running[batch] = task
        return task

    async def _run(self, batch: ClaimedBatch) -> None:
        try:
            await batch.run()
            self._learn(batch)
        except Exception:  # the leases end, and the next owner knows that they did
            _log.exception("a batch failed", **{names.PARTITION: batch.partition})
        finally:
            del self._running[batch]
            self.batches.discard(batch)
            self._ended.set()

    def _learn(self, batch: ClaimedBatch) -> None:
        if batch.succeeded:
            self.breaker.succeeded()
        elif batch.unanswered:
            self.breaker.failed(batch.begun_ns)
        if batch.overloaded:
            self.control.narrow(batch.begun_ns)
        elif batch.succeeded:
            self.control.returned(batch.queue_ns, batch.begun_ns)

    # -- waiting -----------------------------------------------------------------------------

    async def _one_ended(self) -> None:
        self._ended.clear()
        await self._ended.wait()

    async def _pause(self, seconds: float) -> None:
        await self._until_stopping(asyncio.sleep(seconds))

    async def _until_stopping(self, waiting: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
