"""Lets few calls at once into a model, and few wait: what is refused here costs it nothing."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from dataclasses import dataclass, field

from tailrace.inference.backend import ModelMetadata
from tailrace.runtime.batch import PRIORITY_BACKGROUND
from tailrace.runtime.deadline import NS_PER_S, Deadline
from tailrace.runtime.errors import DeadlineExceeded, Overloaded, Reason

PUSHBACK_MS = 50
# A background call that has waited for so long is next: where others always wait, too, it would
# otherwise wait for ever. One in such a time goes before others, however many have waited.
BACKGROUND_PATIENCE_NS = NS_PER_S


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


@dataclass(order=True, slots=True)
class _Waiting:
    """A call that waits; the least one is the next."""

    priority: int
    arrival: int
    since_ns: int = field(compare=False)
    let_in: asyncio.Future[None] = field(compare=False)


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
        self._waiting: list[_Waiting] = []
        # Apart from the others, in order of arrival.
        self._background: deque[_Waiting] = deque()
        self._overtook_ns = 0
        self._arrivals = itertools.count()

    async def enter(self, deadline: Deadline, priority: int) -> int:
        """Returns once there is a place inside; the most important call that waits is next.

        Background calls come after all others, but for one at a time that has waited for long.
        Where the queue is full, the last of them makes room. Whoever has entered must `leave`.

        Args:
            deadline: when to give up waiting.
            priority: a `tailrace.v1.Priority` number; lower is more important.

        Returns:
            How long it waited, in nanoseconds.

        Raises:
            DeadlineExceeded: no place was free in time.
            Overloaded: too many calls are waiting already.
        """
        if self._inside < self._at_once:
            self._inside += 1
            return 0
        if len(self._waiting) + len(self._background) >= self._max_waiting:
            self._make_room(priority)
        loop = asyncio.get_running_loop()
        call = _Waiting(priority, next(self._arrivals), time.monotonic_ns(), loop.create_future())
        if priority >= PRIORITY_BACKGROUND:
            self._background.append(call)
        else:
            heapq.heappush(self._waiting, call)
        await self._wait(call, deadline)
        return time.monotonic_ns() - call.since_ns

    def leave(self) -> None:
        """Gives the place to the next call that waits, if there is one."""
        while self._waiting or self._background:
            let_in = self._next().let_in
            if not let_in.done():
                # The place changes hands without ever being free.
                let_in.set_result(None)
                return
        self._inside -= 1

    def _next(self) -> _Waiting:
        if not self._waiting:
            return self._background.popleft()
        if self._background:
            now_ns = time.monotonic_ns()
            since_ns = max(self._background[0].since_ns, self._overtook_ns)
            if now_ns - since_ns > BACKGROUND_PATIENCE_NS:
                self._overtook_ns = now_ns
                return self._background.popleft()
        return heapq.heappop(self._waiting)

    def _make_room(self, priority: int) -> None:
        """Refuses a background call that waits, for the sake of another kind of call.

        Raises:
            Overloaded: there is none, or the call is a background one itself.
        """
        if priority >= PRIORITY_BACKGROUND or not self._background:
            raise self._full()
        refused = self._background.pop().let_in
        if not refused.done():
            refused.set_exception(self._full())

    def _full(self) -> Overloaded:
        return Overloaded(
            f"the queue of model {self._model!r} is full",
            reason=Reason.MODEL_QUEUE_FULL,
            retry_after_ms=PUSHBACK_MS,
        )

    async def _wait(self, call: _Waiting, deadline: Deadline) -> None:
        let_in = call.let_in
        try:
            async with asyncio.timeout(max(0.0, deadline.remaining_s())):
                await let_in
        except BaseException as error:
            if let_in.done() and not let_in.cancelled():
                if let_in.exception() is None:
                    # Let in at the very moment of giving up: the place goes to the next one.
                    self.leave()
            else:
                self._forget(call)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    f"the deadline passed in the queue of model {self._model!r}"
                ) from error
            raise

    def _forget(self, call: _Waiting) -> None:
        # By identity: calls are compared by their places.
        if call.priority >= PRIORITY_BACKGROUND:
            self._background = deque(one for one in self._background if one is not call)
        elif any(one is call for one in self._waiting):
            self._waiting = [one for one in self._waiting if one is not call]
            heapq.heapify(self._waiting)
