"""Hands updates to the store, in the order of their senders, and many at once."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.features.events.durability import DurabilityCheck
from tailrace.features.events.event_metrics import APPLY_SECONDS
from tailrace.features.windows.schema import WindowSchema
from tailrace.features.windows.updates import Applied, Update, WindowWriter
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import (
    Cancelled,
    FeaturesCorrupt,
    Reason,
    SchemaChanged,
    TailraceError,
    Unavailable,
)


class Lane:
    """What one sender sends, in order: once something was not applied, nothing after it is.

    Otherwise an event that is sent again would come after later ones, and could be refused as
    late.

    Attributes:
        failure: why nothing more is applied, or None.
    """

    def __init__(self) -> None:
        """Starts open."""
        self.failure: TailraceError | None = None

    def close(self) -> None:
        """Keeps what waits from being applied: the sender has left."""
        self.failure = self.failure or Cancelled("the sender left")


@dataclass(slots=True)
class _Waiting:
    lane: Lane
    schema: WindowSchema
    updates: Sequence[Update]
    done: asyncio.Future[list[Applied]]


class Applier:
    """Applies updates of all senders; of one view, one group after the other.

    What arrives while a group is in the store makes up the next one.
    """

    def __init__(
        self,
        writer: WindowWriter,
        durability: DurabilityCheck,
        *,
        group_max: int,
        timeout_s: float,
    ) -> None:
        """Keeps the parts.

        Args:
            writer: to the store.
            durability: what the store must promise before, and still promise after.
            group_max: a group of this many updates takes no more.
            timeout_s: longest that the store may take for a group, in seconds.
        """
        self._writer = writer
        self._durability = durability
        self._group_max = group_max
        self._timeout_s = timeout_s
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def submit(
        self, lane: Lane, schema: WindowSchema, updates: Sequence[Update]
    ) -> asyncio.Future[list[Applied]]:
        """Returns what will become of updates: for each its outcome, or why the view refuses it.

        The future fails with a TailraceError if they were perhaps not applied.

        Raises:
            TailraceError: something before them in the lane was not applied.
        """
        if lane.failure is not None:
            raise lane.failure
        done: asyncio.Future[list[Applied]] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(schema.view, deque())
        waiting.append(_Waiting(lane, schema, updates, done))
        if schema.view not in self._tasks:
            self._tasks[schema.view] = asyncio.create_task(self._apply_all(schema.view))
        return done

    async def close(self) -> None:
        """Ends what is being applied."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _apply_all(self, view: str) -> None:
        waiting = self._waiting[view]
        try:
            while waiting:
                group = self._next_group(waiting)
                if group:
                    await self._apply_group(group, waiting)
        finally:
            del self._tasks[view]

    def _next_group(self, waiting: deque[_Waiting]) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while waiting and size < self._group_max:
            first = waiting[0]
            if group and first.schema is not group[0].schema:
                break
            waiting.popleft()
            if first.lane.failure is not None:
                _fail(first, first.lane.failure)
                continue
            group.append(first)
            size += len(first.updates)
        return group

    async def _apply_group(self, group: list[_Waiting], waiting: deque[_Waiting]) -> None:
        updates = list(itertools.chain.from_iterable(each.updates for each in group))
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._durability.check()
                applied = await self._apply(group[0].schema, updates)
            if not self._durability.holds:
                raise Unavailable(
                    "the connection to the feature store was lost",
                    reason=Reason.FEATURE_STORE_UNAVAILABLE,
                )
        except Exception as error:
            failure = self._failure(error)
            # Who waits behind them would fare the same, and must not be applied before them.
            for each in (*group, *waiting):
                each.lane.failure = each.lane.failure or failure
                _fail(each, failure)
            waiting.clear()
            return
        APPLY_SECONDS.labels(group[0].schema.view).observe(time.monotonic() - began)
        outcomes = iter(applied)
        for each in group:
            share = list(itertools.islice(outcomes, len(each.updates)))
            if not each.done.done():
                each.done.set_result(share)

    async def _apply(self, schema: WindowSchema, updates: Sequence[Update]) -> list[Applied]:
        try:
            return await self._writer.apply(schema, updates)
        except (SchemaChanged, FeaturesCorrupt) as error:
            return [error] * len(updates)

    def _failure(self, error: Exception) -> TailraceError:
        if isinstance(error, TailraceError):
            return error
        if isinstance(error, TimeoutError):
            self._durability.drop("it does not answer")
            return Unavailable(
                f"the feature store did not answer within {self._timeout_s:g} s",
                reason=Reason.FEATURE_STORE_UNAVAILABLE,
            )
        return unexpected(error)


def _fail(waiting: _Waiting, failure: TailraceError) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(failure)
        # Whoever has left does not ask.
        waiting.done.exception()
