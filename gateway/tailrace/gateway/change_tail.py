"""Changes of one partition as they happen, read once for all who follow them here."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import OutOfRange, TailraceError
from tailrace.submissions.records import Change
from tailrace.submissions.store import SubmissionStore

# Who is further behind than this reads from the queue by himself.
KEPT_CHANGES = 4096
READ_CHANGES = 1000
BLOCK_MS = 5000
RETRY_S = 0.5
# Long polls come and go; a tail is not worth starting anew for each.
LINGER_S = 5.0

_log = structlog.get_logger(__name__)


def position_order(position: str) -> tuple[int, int]:
    """Returns what positions of a partition are ordered by.

    A position is the id of an entry of a Redis stream: milliseconds, and a number.
    """
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number or 0)


class ChangeTail:
    """Follows one partition while somebody follows it.

    Attributes:
        end: position of the newest change that is known here.
    """

    def __init__(self, store: SubmissionStore, partition: int) -> None:
        """Follows nothing yet."""
        self._store = store
        self._partition = partition
        self._wakes: dict[object, Callable[[], None]] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._recent: deque[Change] = deque()
        self._start = (0, 0)
        self.end = "0"

    @contextlib.asynccontextmanager
    async def followed(self, wake: Callable[[], None]) -> AsyncIterator[None]:
        """Has `wake` called after every change; `since` has them. Raises QueueUnavailable."""
        key = object()
        self._wakes[key] = wake
        try:
            await self._begin()
            yield
        finally:
            del self._wakes[key]
            self._rest()

    @contextlib.asynccontextmanager
    async def awaited(self, prediction_id: str) -> AsyncIterator[asyncio.Event]:
        """Returns what is set once a prediction changes. Raises QueueUnavailable."""
        changed = asyncio.Event()
        self._waiting.setdefault(prediction_id, set()).add(changed)
        try:
            await self._begin()
            yield changed
        finally:
            others = self._waiting[prediction_id]
            others.discard(changed)
            if not others:
                del self._waiting[prediction_id]
            self._rest()

    def since(self, position: str) -> list[Change] | None:
        """Returns the changes after a position, oldest first; None if not all are known here."""
        after = position_order(position)
        if after < self._start:
            return None
        found: list[Change] = []
        for change in reversed(self._recent):
            if position_order(change.position) <= after:
                break
            found.append(change)
        found.reverse()
        return found

    def wake_all(self) -> None:
        """Wakes everybody, whether anything has changed or not."""
        for wake in list(self._wakes.values()):
            wake()
        for waiting in self._waiting.values():
            for changed in waiting:
                changed.set()

    async def close(self) -> None:
        """Ends reading."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        reading = self._reading
        self._stop()
        if reading is not None:
            await asyncio.wait([reading])

    async def _begin(self) -> None:
        """Returns once everything that changes from now on will be seen."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            # Whoever waits for it has it raised; it may be that all have left.
            self._begun.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._reading = asyncio.create_task(self._read(self._begun))
        await asyncio.shield(self._begun)

    def _rest(self) -> None:
        if self._begun is not None and not self._wakes and not self._waiting:
            if self._linger is not None:
                self._linger.cancel()
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._stop)

    def _stop(self) -> None:
        self._linger = None
        if self._reading is not None:
            self._reading.cancel()
        self._reading, self._begun = None, None
        self._recent.clear()

    async def _read(self, begun: asyncio.Future[None]) -> None:
        try:
            await self._start_over()
        except Exception as error:  # for whoever waits
            self._reading = None
            self._stop()
            begun.set_exception(error)
            return
        begun.set_result(None)
        trouble = ""
        while True:
            try:
                changes = await self._store.changes(
                    self._partition, self.end, READ_CHANGES, BLOCK_MS
                )
                trouble = ""
                self._take(changes)
            except OutOfRange:
                await self._lose_track()
            except TailraceError as error:
                if error.message != trouble:
                    trouble = error.message
                    _log.warning("changes cannot be read", **{names.ERROR_MESSAGE: trouble})
                await asyncio.sleep(RETRY_S)
            except Exception as error:  # nobody would be told of anything any more
                unexpected(error)
                await asyncio.sleep(RETRY_S)

    async def _start_over(self) -> None:
        self.end = await self._store.last_position(self._partition)
        self._recent.clear()
        self._start = position_order(self.end)

    async def _lose_track(self) -> None:
        """Goes on from now; whoever follows finds out by himself what he has missed."""
        try:
            await self._start_over()
        except TailraceError:
            await asyncio.sleep(RETRY_S)
        self.wake_all()

    def _take(self, changes: list[Change]) -> None:
        if not changes:
            return
        self.end = changes[-1].position
        self._recent.extend(changes)
        while len(self._recent) > KEPT_CHANGES:
            self._start = position_order(self._recent.popleft().position)
        for wake in list(self._wakes.values()):
            wake()
        for change in changes:
            for changed in self._waiting.get(change.prediction_id, ()):
                changed.set()


class ChangeTails:
    """The tails of all partitions."""

    def __init__(self, store: SubmissionStore) -> None:
        """Follows nothing yet."""
        self._tails = [ChangeTail(store, partition) for partition in range(store.partitions)]

    def __getitem__(self, partition: int) -> ChangeTail:
        """Returns the tail of a partition."""
        return self._tails[partition]

    def __len__(self) -> int:
        """Returns how many partitions there are."""
        return len(self._tails)

    @contextlib.asynccontextmanager
    async def followed(
        self, partitions: list[int], wake: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Has `wake` called after every change in some partitions. Raises QueueUnavailable."""
        follows = [self._tails[partition].followed(wake) for partition in partitions]
        async with contextlib.AsyncExitStack() as stack:
            # The first ones start their tails; the rest waits for no more than the slowest.
            entered = await asyncio.gather(
                *(stack.enter_async_context(follow) for follow in follows), return_exceptions=True
            )
            for outcome in entered:
                if outcome is not None:
                    raise outcome
            yield

    def wake_all(self) -> None:
        """Wakes everybody: the process is to end."""
        for tail in self._tails:
            tail.wake_all()

    async def close(self) -> None:
        """Ends reading."""
        for tail in self._tails:
            await tail.close()
