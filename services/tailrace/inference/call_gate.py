"""Lets few calls at once into a model, and few wait: what is refused here costs it nothing."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass

from tailrace.inference.backend import ModelMetadata
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import DeadlineExceeded, Overloaded, Reason

PUSHBACK_MS = 50


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds for every version of every model; a model may ask for less.

    Attributes:
        at_once: most calls in flight.
        max_waiting: most calls that wait.
    """

    at_once: int
    max_waiting: int

    def gate(self, metadata: ModelMetadata) -> CallGate:
        """Returns a gate for a version, within these bounds and the model's own."""
        return CallGate(
            metadata.model,
            min(self.at_once, metadata.calls_at_once or self.at_once),
            min(self.max_waiting, metadata.max_queue or self.max_waiting),
        )


class CallGate:
    """The way to one version of a model.

    Calls wait here and not in the model server, so the bound on the queue and the deadlines
    of those in it are kept exactly, whatever the server makes of them.
    """

    def __init__(self, model: str, at_once: int, max_waiting: int) -> None:
        """Opens the gate.

        Args:
            model: name of the model, for the errors.
            at_once: most calls that are let in at once.
            max_waiting: most calls that wait to be let in.
        """
        self._model = model
        self._at_once = at_once
        self._max_waiting = max_waiting
        self._inside = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    async def enter(self, deadline: Deadline, priority: int) -> None:
        """Returns once there is a place inside; the most important call that waits is next.

        Whoever has entered must `leave`.

        Args:
            deadline: when to give up waiting.
            priority: a `tailrace.v1.Priority` number; lower is more important.

        Raises:
            DeadlineExceeded: no place was free in time.
            Overloaded: too many calls are waiting already.
        """
        if self._inside < self._at_once:
            self._inside += 1
            return
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(
                f"the queue of model {self._model!r} is full",
                reason=Reason.MODEL_QUEUE_FULL,
                retry_after_ms=PUSHBACK_MS,
            )
        await self._wait(deadline, priority)

    def leave(self) -> None:
        """Gives the place to the next call that waits, if there is one."""
        while self._waiting:
            let_in = heapq.heappop(self._waiting)[2]
            if not let_in.done():
                # The place changes hands without ever being free.
                let_in.set_result(None)
                return
        self._inside -= 1

    async def _wait(self, deadline: Deadline, priority: int) -> None:
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (priority, next(self._arrivals), let_in)
        heapq.heappush(self._waiting, entry)
        try:
            async with asyncio.timeout(max(0.0, deadline.remaining_s())):
                await let_in
        except BaseException as error:
            if let_in.done() and not let_in.cancelled():
                # Let in at the very moment of giving up: the place goes to the next one.
                self.leave()
            elif entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    f"the deadline passed in the queue of model {self._model!r}"
                ) from error
            raise
