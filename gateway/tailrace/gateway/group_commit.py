"""Submissions of many calls, written to the queue together.

What makes a submission durable costs about the same for one as for hundreds. So what arrives while
a write is under way goes into the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import Histogram

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import Overloaded, Reason, TailraceError
from tailrace.submissions.records import NewSubmission, Submitted
from tailrace.submissions.store import SubmissionStore

# Redis does nothing else while it runs a script.
MAX_ROWS = 512
MAX_BYTES = 4 * 1024 * 1024
# Submissions without keys that go to one partition before the next one's turn: dispatchers and
# couriers then find many in one place.
TURN_ROWS = 256
# How long what may go anywhere keeps away from a partition that refused a write.
AWAY_S = 1.0
# Writes of submissions without keys under way at once: the next one is on its way while Redis
# makes the one before durable.
FREE_WRITES = 2
MAX_WAITING_BYTES = 64 * 1024 * 1024
RETRY_AFTER_MS = 1000

Outcomes = Sequence[Submitted | TailraceError]

_GROUP_ROWS = Histogram(
    names.SUBMISSION_GROUP_ROWS, "Submissions of one write.", buckets=names.ROW_BUCKETS
)


@dataclass(slots=True)
class _Group:
    """What one call has for one write, and where its outcomes go."""

    submissions: Sequence[NewSubmission]
    outcomes: asyncio.Future[Outcomes]


@dataclass(slots=True)
class _Batch:
    """What is written together."""

    partition: int
    groups: list[_Group] = field(default_factory=list)
    rows: int = 0
    size_bytes: int = 0

    @property
    def full(self) -> bool:
        return self.rows >= MAX_ROWS or self.size_bytes >= MAX_BYTES


class _Writer:
    """Writes batches one after the other, a bounded number at once."""

    def __init__(
        self,
        store: SubmissionStore,
        next_partition: Callable[[], int],
        max_under_way: int,
        refused: Callable[[int], None] = lambda partition: None,
    ) -> None:
        self._store = store
        self._next_partition = next_partition
        self._refused = refused
        self._free = max_under_way
        self._waiting: deque[_Batch] = deque()
        self._writes: set[asyncio.Task[None]] = set()
        self.waiting_bytes = 0

    def gathering(self) -> _Batch:
        """Returns the batch that takes what comes next."""
        if not self._waiting or self._waiting[-1].full:
            self._waiting.append(_Batch(self._next_partition()))
        return self._waiting[-1]

    def add(self, group: _Group) -> None:
        batch = self.gathering()
        batch.groups.append(group)
        batch.rows += len(group.submissions)
        size_bytes = sum(len(submission.request) for submission in group.submissions)
        batch.size_bytes += size_bytes
        self.waiting_bytes += size_bytes
        # Not at once: calls that came together go together.
        asyncio.get_running_loop().call_soon(self._depart)

    async def close(self) -> None:
        """Ends the writes under way; what becomes of them is not known."""
        for write in list(self._writes):
            write.cancel()
        await asyncio.gather(*self._writes, return_exceptions=True)

    def _depart(self) -> None:
        while self._free and self._waiting:
            batch = self._waiting.popleft()
            self._free -= 1
            write = asyncio.create_task(self._write(batch))
            self._writes.add(write)
            write.add_done_callback(self._arrived)

    def _arrived(self, write: asyncio.Task[None]) -> None:
        self._writes.discard(write)
        self._free += 1
        self._depart()

    async def _write(self, batch: _Batch) -> None:
        # Whose caller has left already is not written.
        groups = [group for group in batch.groups if not group.outcomes.done()]
        submissions = [submission for group in groups for submission in group.submissions]
        try:
            if submissions:
                _GROUP_ROWS.observe(len(submissions))
                _share(groups, await self._store.submit(batch.partition, submissions))
        except Exception as error:
            failure = error if isinstance(error, TailraceError) else unexpected(error)
            self._refused(batch.partition)
            _share(groups, [failure] * len(submissions))
        finally:
            self.waiting_bytes -= batch.size_bytes
            for group in groups:
                group.outcomes.cancel()


class GroupCommit:
    """Puts submissions into the queue, those of concurrent calls together."""

    def __init__(self, store: SubmissionStore) -> None:
        """Keeps the queue."""
        self._store = store
        self._turn = 0
        self._turn_rows = 0
        self._away_until_s = [0.0] * store.partitions
        self._keyless = _Writer(store, self._next_partition, FREE_WRITES, self._keep_away)
        self._keyed: dict[int, _Writer] = {}

    def free_partition(self) -> int:
        """Returns where submissions without keys that are added now may go."""
        return self._keyless.gathering().partition

    def add(
        self, partition: int, submissions: Sequence[NewSubmission], *, free: bool
    ) -> asyncio.Future[Outcomes]:
        """Has submissions written, and returns what will have the outcome of each, in order.

        To cancel it takes them back, unless they are being written.

        Args:
            partition: which all of them belong to.
            submissions: at most `MAX_ROWS`.
            free: whether they are in it only because `free_partition` said so; nothing else may
                have run since.

        Raises:
            Overloaded: too much waits to be written.
        """
        writers = [self._keyless, *self._keyed.values()]
        if sum(writer.waiting_bytes for writer in writers) > MAX_WAITING_BYTES:
            raise Overloaded(
                "too many submissions wait to be written",
                reason=Reason.QUEUE_FULL,
                retry_after_ms=RETRY_AFTER_MS,
            )
        outcomes: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()
        writer = self._keyless if free else self._keyed_writer(partition)
        if free:
            self._turn_rows += len(submissions)
        writer.add(_Group(submissions, outcomes))
        return outcomes

    async def close(self) -> None:
        """Ends all writes."""
        for writer in (self._keyless, *self._keyed.values()):
            await writer.close()

    def _keyed_writer(self, partition: int) -> _Writer:
        writer = self._keyed.get(partition)
        if writer is None:
            writer = self._keyed[partition] = _Writer(self._store, lambda: partition, 1)
        return writer

    def _next_partition(self) -> int:
        if self._turn_rows >= TURN_ROWS or self._is_away(self._turn):
            partitions = self._store.partitions
            others = [(self._turn + step) % partitions for step in range(1, partitions + 1)]
            self._turn = next((each for each in others if not self._is_away(each)), others[0])
            self._turn_rows = 0
        return self._turn

    def _keep_away(self, partition: int) -> None:
        self._away_until_s[partition] = time.monotonic() + AWAY_S

    def _is_away(self, partition: int) -> bool:
        return time.monotonic() < self._away_until_s[partition]


def _share(groups: Sequence[_Group], outcomes: Outcomes) -> None:
    """Hands each group its part of the outcomes of a write."""
    first = 0
    for group in groups:
        count = len(group.submissions)
        if not group.outcomes.done():
            group.outcomes.set_result(outcomes[first : first + count])
        first += count
