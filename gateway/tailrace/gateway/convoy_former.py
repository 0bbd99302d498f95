"""Forms convoys of the requests for one pipeline version, and sends them on their way.

A request that comes alone departs at once. Under load arrivals gather while convoys are under
way. A row that has its outcome early (its deadline passed, its caller left) is out of its convoy
at the next hop; a convoy that all rows have left is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakSet

from prometheus_client import Gauge

from tailrace.gateway.convoy import Convoy, ConvoyRow, Outcome
from tailrace.gateway.convoy_control import ConvoyBounds, ConvoyControl
from tailrace.gateway.convoy_spans import ConvoySpans
from tailrace.gateway.hop_account import missed_in_queue
from tailrace.gateway.outcome_counts import prepare_counts
from tailrace.gateway.predictions import responses_of
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.counter import Counter
from tailrace.runtime.deadline import NS_PER_MS, NS_PER_S
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import Cancelled, DeadlineExceeded, Overloaded, Reason
from tailrace.runtime.histogram import Histogram
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.v1 import batch_pb2

PRIORITIES = (
    batch_pb2.PRIORITY_CRITICAL,
    batch_pb2.PRIORITY_NORMAL,
    batch_pb2.PRIORITY_SHEDDABLE,
    batch_pb2.PRIORITY_BACKGROUND,
)

# Most rows of a background convoy while there are others: a hop's work on them holds up whoever
# comes meanwhile.
MIXED_BACKGROUND_ROWS = 64

# Rows that have left and are still in a queue, beyond as many as wait there.
LEFT_ROWS_KEPT = 64

_ROWS = Histogram(
    names.CONVOY_ROWS, "Requests of a convoy.", ["pipeline"], bounds=names.ROW_BUCKETS
)
_WAIT_SECONDS = Histogram(
    names.CONVOY_WAIT_SECONDS,
    "Wait of a request for the departure of its convoy.",
    ["pipeline"],
    bounds=names.LATENCY_BUCKETS_S,
)
_IN_FLIGHT = Gauge(names.CONVOYS_IN_FLIGHT, "Convoys under way.", ["pipeline"])
_QUEUED = Gauge(names.QUEUED_ROWS, "Requests that wait for a convoy.", ["pipeline"])
_FORMERS: dict[str, WeakSet[ConvoyFormer]] = {}
_REFUSED = Counter(names.REFUSED_TOTAL, "Requests refused on arrival.", ["pipeline", "reason"])


class ChainRunner(Protocol):
    """Takes convoys through the hops.

    Attributes:
        pipeline: the version that it serves.
    """

    pipeline: Pipeline

    async def run(self, convoy: Convoy) -> None:
        """Fills the convoy with predictions and errors."""
        ...


class _Lane:
    """Rows of one priority that wait, in order of arrival."""

    convoy = None

    def __init__(self) -> None:
        self.waiting = 0
        self._rows: deque[ConvoyRow] = deque()

    def join(self, row: ConvoyRow) -> None:
        row.holder = self
        self._rows.append(row)
        self.waiting += 1

    def row_left(self, row: ConvoyRow) -> None:
        # Elsewhere than in front it is passed over in its turn: a search would take longer.
        self.waiting -= 1
        if isinstance(row.error, DeadlineExceeded):
            missed_in_queue(row.pipeline)
        while self._rows and self._rows[0].settled:
            self._rows.popleft()
        # The first may wait for long while many come and go behind it.
        if len(self._rows) > 2 * self.waiting + LEFT_ROWS_KEPT:
            self._rows = deque([row for row in self._rows if not row.settled])

    def last(self) -> ConvoyRow:
        """Returns the one who joined last of those who wait; there is one."""
        while self._rows[-1].settled:
            self._rows.pop()
        return self._rows[-1]

    def since_ns(self) -> int:
        """Returns when the first of those who wait joined, on the monotonic clock."""
        return self._rows[0].received_ns

    def take(self, max_rows: int, max_bytes: int) -> list[ConvoyRow]:
        """Returns the next rows; at least one, if any waits."""
        taken: list[ConvoyRow] = []
        size = 0
        while self._rows and len(taken) < max_rows:
            row = self._rows[0]
            if not row.settled:
                size += len(row.data)
                if taken and size > max_bytes:
                    break
                taken.append(row)
            self._rows.popleft()
        self.waiting -= len(taken)
        return taken


class _Voyage:
    """A convoy under way."""

    def __init__(self, convoy: Convoy) -> None:
        self.convoy = convoy
        self.task: asyncio.Task[None] | None = None
        self._aboard = len(convoy.rows)
        for row in convoy.rows:
            row.holder = self

    def row_left(self, row: ConvoyRow) -> None:
        self._aboard -= 1
        if not self._aboard and self.task is not None:
            self.task.cancel()


class ConvoyFormer:
    """The entrance of one pipeline version."""

    def __init__(self, chain: ChainRunner, bounds: ConvoyBounds) -> None:
        """Keeps the parts.

        Args:
            chain: where convoys go.
            bounds: what convoys stay within.
        """
        self.chain = chain
        self.control = ConvoyControl(bounds)
        self._bounds = bounds
        self._lanes = {priority: _Lane() for priority in PRIORITIES}
        self._under_way: set[_Voyage] = set()
        self._joined = False
        self._turn: asyncio.Handle | None = None
        self._window: asyncio.TimerHandle | None = None
        self._spans = ConvoySpans(process_tracing(), chain.pipeline)
        name = chain.pipeline.name
        self._rows = _ROWS.labels(name)
        self._wait_seconds = _WAIT_SECONDS.labels(name)
        prepare_counts(chain.pipeline)
        _FORMERS.setdefault(name, WeakSet()).add(self)
        _IN_FLIGHT.labels(name).set_function(lambda: _sum(name, lambda it: it.convoys_under_way))
        _QUEUED.labels(name).set_function(lambda: _sum(name, lambda it: it.waiting))

    @property
    def convoys_under_way(self) -> int:
        """Convoys that have departed and not returned."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """Requests that wait for a convoy."""
        return sum([lane.waiting for lane in self._lanes.values()])

    @property
    def idle(self) -> bool:
        """Whether nobody waits and nothing is under way."""
        return not self._under_way and not self.waiting

    def submit(self, rows: Sequence[ConvoyRow]) -> None:
        """Lets rows wait for a convoy, or refuses them at once; either way they get an outcome.

        Refused with RESOURCE_EXHAUSTED is a row that would not be answered by its deadline, given
        those who wait before it, and one that finds as many waiting as are allowed; of the latter,
        one who waits and is less important, if there is any, goes in its place.
        """
        waiting = self.waiting
        for row in rows:
            lane = self._lanes.get(row.priority) or self._lanes[batch_pb2.PRIORITY_NORMAL]
            if waiting:
                refusal = self._refusal(row, waiting)
                if refusal is not None:
                    self._refuse(row, refusal)
                    continue
                waiting -= self._make_room(row, waiting)
            lane.join(row)
            waiting += 1
            self._joined = True
        self._look_soon()

    def _refuse(self, row: ConvoyRow, refusal: Overloaded) -> None:
        _REFUSED.labels(self.chain.pipeline.name, refusal.reason.name).inc()
        row.leave(refusal)

    def _refusal(self, row: ConvoyRow, waiting: int) -> Overloaded | None:
        if waiting >= self._bounds.max_queued_rows and self._less_important(row) is None:
            return self._queue_full(waiting)
        wait_ns = self.control.wait_ns(self._rows_ahead(row))
        needed_ns = wait_ns + self.control.chain_ns
        remaining_ns = row.deadline_ns - time.monotonic_ns()
        if not wait_ns or needed_ns <= remaining_ns:
            return None
        return Overloaded(
            f"the answer would take {needed_ns / NS_PER_MS:.0f} ms, given those who wait; "
            f"{max(remaining_ns, 0) / NS_PER_MS:.0f} ms are left",
            reason=Reason.QUEUE_TOO_LONG,
            retry_after_ms=_whole_ms(min(wait_ns, needed_ns - remaining_ns)),
        )

    def _queue_full(self, waiting: int) -> Overloaded:
        return Overloaded(
            f"{waiting} requests wait already, as many as are allowed",
            reason=Reason.QUEUE_FULL,
            retry_after_ms=_whole_ms(self.control.wait_ns(waiting)),
        )

    def _make_room(self, row: ConvoyRow, waiting: int) -> int:
        """Refuses one who waits for the sake of a row, if the queue is full; returns how many."""
        lane = self._less_important(row) if waiting >= self._bounds.max_queued_rows else None
        if lane is None:
            return 0
        self._refuse(lane.last(), self._queue_full(waiting))
        return 1

    def _less_important(self, row: ConvoyRow) -> _Lane | None:
        """Returns the least important lane in which anybody waits, if it is below the row's."""
        for priority in reversed(PRIORITIES):
            if priority == row.priority:
                break
            if self._lanes[priority].waiting:
                return self._lanes[priority]
        return None

    def _rows_ahead(self, row: ConvoyRow) -> int:
        ahead = 0
        for priority, lane in self._lanes.items():
            ahead += lane.waiting
            if priority == row.priority:
                break
        return ahead

    # -- departures --------------------------------------------------------------------------

    def _look_soon(self) -> None:
        # Not at once: what arrives in the same turn of the loop shares a convoy.
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._look_in_turn)

    def _look_in_turn(self) -> None:
        # On a busy loop, others are about to join: what it has received already is waited for.
        self._turn = None
        joined, self._joined = self._joined, False
        if joined and self.control.company and not self._overdue():
            self._look_soon()
        else:
            self._look()

    def _overdue(self) -> bool:
        latest_ns = time.monotonic_ns() - self.control.window_ns()
        return any(lane.waiting and lane.since_ns() < latest_ns for lane in self._lanes.values())

    def _look(self) -> None:
        """Lets convoys depart until the limit is reached, nobody waits, or it is too early."""
        if self._window is not None:
            self._window.cancel()
            self._window = None
        while len(self._under_way) < self.control.in_flight_limit:
            lane = next((lane for lane in self._lanes.values() if lane.waiting), None)
            if lane is None:
                break
            # Those of other priorities, too, fill the hops: nobody is waited for while they wait.
            now_ns = time.monotonic_ns()
            if self.waiting < self.control.share(now_ns):
                early_ns = lane.since_ns() + self.control.window_ns() - now_ns
                if early_ns > 0:
                    loop = asyncio.get_running_loop()
                    self._window = loop.call_later(early_ns / NS_PER_S, self._look)
                    break
            self._depart(lane)

    def _depart(self, lane: _Lane) -> None:
        rows = lane.take(self._most_rows(lane), self._bounds.max_bytes)
        convoy = Convoy(self.chain.pipeline, rows)
        self._spans.departs(convoy)
        under_way = sum([len(other.convoy.rows) for other in self._under_way])
        present = len(rows) + under_way + self.waiting
        self.control.departed(len(rows), present, convoy.departed_ns)
        self._rows.observe(len(rows))
        for row in rows:
            self._wait_seconds.observe((convoy.departed_ns - row.received_ns) / NS_PER_S)
        voyage = _Voyage(convoy)
        self._under_way.add(voyage)
        voyage.task = asyncio.get_running_loop().create_task(self._travel(voyage))
        voyage.task.add_done_callback(lambda _: self._ended(voyage))

    def _most_rows(self, lane: _Lane) -> int:
        background = self._lanes[batch_pb2.PRIORITY_BACKGROUND]
        if lane is not background or (
            self.waiting == background.waiting
            and all(
                voyage.convoy.rows[0].priority == batch_pb2.PRIORITY_BACKGROUND
                for voyage in self._under_way
            )
        ):
            return self.control.size_limit
        return min(self.control.size_limit, MIXED_BACKGROUND_ROWS)

    async def _travel(self, voyage: _Voyage) -> None:
        convoy = voyage.convoy
        error: Exception | None = None
        try:
            await self.chain.run(convoy)
        except Exception as caught:  # whatever it was, every row gets its outcome
            error = caught
        waiting = self.waiting > 0
        self._learn(convoy, saturated=waiting)
        convoy.ended_ns = time.monotonic_ns()
        # The hops get their next work before this one's answers are written.
        self._returned(voyage)
        if waiting:
            await asyncio.sleep(0)
        outcomes = _answers(convoy) if error is None else _failed(convoy, error)
        for row, outcome in zip(convoy.rows, outcomes, strict=True):
            row.settle(outcome)

    def _learn(self, convoy: Convoy, *, saturated: bool) -> None:
        # A convoy that failed on the way tells nothing of what the chain takes, unless it is that
        # it takes too long. Not so where rows had hardly any time.
        now_ns = time.monotonic_ns()
        duration_ns = now_ns - convoy.departed_ns
        late = any(isinstance(row.error, DeadlineExceeded) for row in convoy.rows)
        if convoy.prediction_rows or (late and self.control.is_slow(duration_ns)):
            rows = convoy.rows
            stay_ns = now_ns * len(rows) - sum([row.received_ns for row in rows])
            self.control.returned(len(rows), stay_ns, duration_ns, now_ns, saturated=saturated)

    def _ended(self, voyage: _Voyage) -> None:
        """Notes the end of a task, one that was cancelled, maybe before it began, too."""
        if voyage in self._under_way:
            self._learn(voyage.convoy, saturated=False)
            self._returned(voyage)
        for row in voyage.convoy.rows:
            if not row.settled:
                row.settle(row.error or Cancelled("cancelled"))
        # Now that every row has its outcome, it is known who is traced.
        self._spans.ended(voyage.convoy)
        # Rows point back here: collecting such rings takes longer than opening them.
        for row in voyage.convoy.rows:
            row.holder = None

    def _returned(self, voyage: _Voyage) -> None:
        self._under_way.discard(voyage)
        self._look()


def _sum(pipeline: str, count: Callable[[ConvoyFormer], int]) -> int:
    """Adds up over the versions of a pipeline; asked when metrics are read, in another thread."""
    return sum(map(count, list(_FORMERS[pipeline])))


def _answers(convoy: Convoy) -> Sequence[Outcome]:
    try:
        return responses_of(convoy)
    except Exception as error:  # a prediction that cannot be written must not lose the others
        return _failed(convoy, error)


def _failed(convoy: Convoy, error: Exception) -> Sequence[Outcome]:
    """Returns the outcomes of a convoy that failed for a reason that nobody foresaw."""
    failure = unexpected(error)
    convoy.fail(range(len(convoy.rows)), failure)
    return [failure] * len(convoy.rows)


def _whole_ms(duration_ns: int) -> int:
    return max(1, -(-duration_ns // NS_PER_MS))
