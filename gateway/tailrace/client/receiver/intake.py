"""What both receivers do with verified deliveries: each is handled once, whoever brings it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from tailrace.client.receiver.pushed import PushedPrediction
from tailrace.client.receiver.refusals import CallbackGone, TryLater
from tailrace.client.receiver.seen import MemorySeenDeliveries, SeenDeliveries

Handler: TypeAlias = Callable[[PushedPrediction], Awaitable[None] | None]
"""Takes a result. A plain function runs in a thread, `async def` on the event loop. Returning
confirms the delivery; whatever it raises has it pushed again later."""

_log = logging.getLogger(__name__)


class HandlerFailed(Exception):
    """A handler raised something; what that was is in the log."""


class Intake:
    """Hands deliveries to a handler, and remembers those that it has taken.

    A delivery that comes again while it is being handled waits for that, and shares the outcome.
    What has begun goes on when the sender hangs up: its next attempt then finds it done.
    """

    def __init__(self, handler: Handler, seen: SeenDeliveries | None) -> None:
        """Takes the handler, and where handled ids are kept: in memory by default."""
        self.seen: SeenDeliveries = MemorySeenDeliveries() if seen is None else seen
        self._handler = handler
        call = getattr(handler, "__call__", None)  # noqa: B004  # not whether: an object's own
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)
        self._under_way: dict[str, asyncio.Future[Exception | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, deliveries: Sequence[PushedPrediction]) -> list[Exception | None]:
        """Returns what became of each delivery, in order: None confirms it.

        Errors are TryLater, CallbackGone or HandlerFailed.
        """
        loop = asyncio.get_running_loop()
        fresh: list[PushedPrediction] = []
        outcomes: list[asyncio.Future[Exception | None]] = []
        for delivery in deliveries:
            outcome = self._under_way.get(delivery.delivery_id)
            if outcome is None:
                outcome = self._under_way[delivery.delivery_id] = loop.create_future()
                fresh.append(delivery)
            outcomes.append(outcome)
        if fresh:
            task = asyncio.create_task(self._handle(fresh))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return [await asyncio.shield(outcome) for outcome in outcomes]

    async def drain(self) -> None:
        """Returns once nothing is being handled any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _handle(self, deliveries: Sequence[PushedPrediction]) -> None:
        errors: list[Exception | None] = [HandlerFailed()] * len(deliveries)
        try:
            errors = await self._errors(deliveries)
        except Exception:
            _log.exception("deliveries cannot be told from those that were handled before")
        finally:
            for delivery, error in zip(deliveries, errors, strict=True):
                self._under_way.pop(delivery.delivery_id).set_result(error)

    async def _errors(self, deliveries: Sequence[PushedPrediction]) -> list[Exception | None]:
        ids = [delivery.delivery_id for delivery in deliveries]
        if self.seen.blocks:
            known = await asyncio.to_thread(self.seen.seen, ids)
        else:
            known = self.seen.seen(ids)
        fresh = [delivery for delivery in deliveries if delivery.delivery_id not in known]
        if not fresh:
            return [None] * len(deliveries)
        if self._is_async and not fresh[1:]:
            results = [await self._call_async(fresh[0])]
        elif self._is_async:
            results = await asyncio.gather(*(self._call_async(delivery) for delivery in fresh))
        else:
            results = await asyncio.to_thread(lambda: [self._call(delivery) for delivery in fresh])
        errors = {
            delivery.delivery_id: error for delivery, error in zip(fresh, results, strict=True)
        }
        taken = [each for each, error in errors.items() if error is None]
        if self.seen.blocks:
            await asyncio.to_thread(self.seen.remember, taken)
        else:
            self.seen.remember(taken)
        return [errors.get(each) for each in ids]

    def _call(self, delivery: PushedPrediction) -> Exception | None:
        try:
            self._handler(delivery)
        except Exception as error:
            return _told(delivery, error)
        return None

    async def _call_async(self, delivery: PushedPrediction) -> Exception | None:
        try:
            handled = self._handler(delivery)
            if handled is not None:
                await handled
        except Exception as error:
            return _told(delivery, error)
        return None


def _told(delivery: PushedPrediction, error: Exception) -> Exception:
    if isinstance(error, TryLater | CallbackGone):
        return error
    _log.error("the handler failed on delivery %s", delivery.delivery_id, exc_info=error)
    return HandlerFailed()
