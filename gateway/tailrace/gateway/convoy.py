"""A convoy: requests for one pipeline version that travel the chain together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tailrace.gateway.ledger import LedgerBook
from tailrace.runtime.batch import Rows
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import DeadlineExceeded, TailraceError
from tailrace.runtime.hop_answer import PassedBlock, ViewStates
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.tracing.trace_context import TraceContext, new_trace
from tailrace.v1 import batch_pb2, prediction_service_pb2, tensor_pb2

Outcome = prediction_service_pb2.PredictResponse | TailraceError


class Recipient(Protocol):
    """Who waits for the outcomes of some requests."""

    def receive(self, row: ConvoyRow, outcome: Outcome) -> None:
        """Takes the outcome of a row; called once per row."""
        ...


class Holder(Protocol):
    """What a row is in: the queue of those who wait, or a convoy."""

    @property
    def convoy(self) -> Convoy | None:
        """The convoy; None for the queue."""
        ...

    def row_left(self, row: ConvoyRow) -> None:
        """Notes that the row has its outcome and is not to be worked on any more."""
        ...


@dataclass(slots=True, eq=False)
class ConvoyRow:
    """One request, from its admission until its one outcome.

    Attributes:
        pipeline: name of the pipeline.
        request_id: for logs and traces.
        fields: the request.
        deadline_ns: instant of the monotonic clock.
        granted_ns: time granted on receipt, after default and clamp.
        received_ns: when the gateway received it.
        trace: the place of the request's own span.
        priority: number of `tailrace.v1.Priority`.
        tenant: for whom, or empty.
        data: the `PredictRequest`, serialised.
        recipient: who waits for its outcome.
        place: of the request, for the recipient.
        error: why the row left its convoy; None while it is well.
        failed_hop: the hop that gave this row that error; empty where a whole call failed, or time
            ran out.
        settled: whether it has its outcome.
        holder: what it is in; None before it is queued.
    """

    pipeline: str
    request_id: str
    fields: Mapping[str, tensor_pb2.Value]
    deadline_ns: int
    granted_ns: int
    received_ns: int
    trace: TraceContext = field(default_factory=new_trace)
    priority: batch_pb2.Priority.ValueType = batch_pb2.PRIORITY_NORMAL
    tenant: str = ""
    data: bytes = b""
    recipient: Recipient | None = None
    place: int = 0
    error: TailraceError | None = None
    failed_hop: str = ""
    settled: bool = False
    holder: Holder | None = None

    def log_fields(self) -> Mapping[str, object]:
        """Returns what its log line says beside what all requests' lines say."""
        return {}

    def settle(self, outcome: Outcome) -> bool:
        """Hands the outcome to the recipient; returns False if the row had one already."""
        if self.settled:
            return False
        self.settled = True
        if self.recipient is not None:
            self.recipient.receive(self, outcome)
        return True

    def leave(self, error: TailraceError) -> bool:
        """Ends the row now, wherever it is; returns False if it had its outcome already.

        What it failed of earlier, while its convoy went on, is what its recipient is told.
        """
        if self.settled:
            return False
        if self.error is None:
            self.error = error
        self.settled = True
        if self.holder is not None:
            self.holder.row_left(self)
        if self.recipient is not None:
            self.recipient.receive(self, self.error)
        return True


@dataclass(slots=True)
class Degradation:
    """Why some rows of a convoy are not live.

    Attributes:
        quality: number of `tailrace.v1.Quality`.
        detail: what happened, from a bounded set.
        rows: the rows it concerns, by index in the convoy.
    """

    quality: int
    detail: str
    rows: frozenset[int]


@dataclass(slots=True, eq=False)
class Convoy:
    """Rows of one pipeline version on their way, and what became of them.

    Attributes:
        pipeline: the version that serves all of them.
        rows: never removed; a row that leaves has an error.
        departed_ns: when it left, on the monotonic clock.
        book: what the hops spent.
        degradations: why rows are not live.
        views: what the features hop found, for `view_rows`.
        view_rows: indices of the rows that `views` speaks of.
        model_name: the model that answered.
        model_versions: version per row index; one element where it is the same for all.
        model_rows: indices of the rows that `model_versions` speaks of.
        prediction_blocks: prediction columns, for `prediction_rows`.
        prediction_rows: indices of the rows that have a prediction, in block order.
        ended_ns: when it returned, on the monotonic clock; 0 while it is under way.
        trace: the place of its span; None while none of its rows is traced.
        linked: places of its traced rows' spans, but of the one that it is the child of.
        ledger_attributes: what the spans of its rows say of its hops; None before it has returned.
        objective_ns: how long answers may take by the pipeline's objectives; 0 if it has none.
    """

    pipeline: Pipeline
    rows: Sequence[ConvoyRow]
    departed_ns: int = field(default_factory=lambda: time.monotonic_ns())
    book: LedgerBook = field(default_factory=LedgerBook)
    degradations: list[Degradation] = field(default_factory=list)
    views: Sequence[ViewStates] = ()
    view_rows: list[int] = field(default_factory=list)
    model_name: str = ""
    model_versions: Sequence[str] = ()
    model_rows: list[int] = field(default_factory=list)
    prediction_blocks: Sequence[PassedBlock] = ()
    prediction_rows: list[int] = field(default_factory=list)
    ended_ns: int = 0
    trace: TraceContext | None = None
    linked: list[TraceContext] = field(default_factory=list)
    ledger_attributes: Mapping[str, int] | None = None
    objective_ns: int = 0
    _live: list[int] = field(init=False)
    _earliest_deadline_ns: int = field(init=False)
    _with_states: bool = field(init=False)
    _for_tenants: bool = field(init=False)

    def __post_init__(self) -> None:
        """Counts every row as live."""
        self._with_states = any([row.trace.tracestate for row in self.rows])
        self._for_tenants = any([row.tenant for row in self.rows])
        self._live = list(range(len(self.rows)))
        self._earliest_deadline_ns = min(row.deadline_ns for row in self.rows)

    def traced_with(self, row: TraceContext) -> TraceContext:
        """Notes that a row is traced, and returns the place of the convoy's span.

        The first one's trace is the convoy's own.
        """
        if self.trace is None:
            self.trace = row.child()
        else:
            self.linked.append(row)
        return self.trace

    def live(self) -> list[int]:
        """Returns the indices of the rows that are well, after expiring those out of time.

        The list is not to be changed; it is the same one until a row has left.
        """
        now_ns = time.monotonic_ns()
        rows = self.rows
        if self._earliest_deadline_ns <= now_ns:
            for index in self._live:
                row = rows[index]
                if row.deadline_ns <= now_ns and row.error is None:
                    row.error = DeadlineExceeded("the deadline passed")
        if any(rows[index].error is not None for index in self._live):
            self._live = [index for index in self._live if rows[index].error is None]
            deadlines_ns = [rows[index].deadline_ns for index in self._live]
            self._earliest_deadline_ns = min(deadlines_ns, default=0)
        return self._live

    def earliest_deadline_ns(self) -> int:
        """Returns a bound that no deadline of a live row is before, on the monotonic clock."""
        return self._earliest_deadline_ns

    def latest_deadline_ns(self, rows: Sequence[int]) -> int:
        """Returns the latest deadline of some rows, as an instant of the monotonic clock."""
        return max([self.rows[index].deadline_ns for index in rows])

    def fail(self, rows: Sequence[int], error: TailraceError, hop: str = "") -> None:
        """Makes rows leave with an error, of a hop if it is theirs; a row's first error stays."""
        for index in rows:
            row = self.rows[index]
            if row.error is None:
                row.error = error
                row.failed_hop = hop

    def members(self, rows: Sequence[int]) -> Sequence[ConvoyRow]:
        """Returns the rows of some indices."""
        if len(rows) == len(self.rows):
            return self.rows
        return [self.rows[index] for index in rows]

    def write_header(self, batch: batch_pb2.Batch, rows: Sequence[int]) -> None:
        """Writes some rows into an empty batch, without columns; time remaining is as of now."""
        now_ns = time.monotonic_ns()
        members = self.members(rows)
        batch.pipeline = self.pipeline.name
        batch.pipeline_version = self.pipeline.version
        contexts = batch.rows
        contexts.count = len(members)
        contexts.request_ids.extend([row.request_id for row in members])
        contexts.remaining_us.extend([(row.deadline_ns - now_ns) // NS_PER_US for row in members])
        # All rows of a convoy have one priority; the usual one goes without saying.
        if members[0].priority != batch_pb2.PRIORITY_NORMAL:
            contexts.priorities.extend([row.priority for row in members])
        contexts.traceparents.extend([row.trace.traceparent for row in members])
        if self._with_states:
            contexts.tracestates.extend([row.trace.tracestate for row in members])
        if self._for_tenants:
            contexts.tenants.extend([row.tenant for row in members])

    def contexts(self, rows: Sequence[int]) -> Rows:
        """Returns what `write_header` writes of some rows, for a hop in this process."""
        members = self.members(rows)
        contexts = Rows([row.request_id for row in members], [row.deadline_ns for row in members])
        contexts.traceparents = [row.trace.traceparent for row in members]
        if members[0].priority != batch_pb2.PRIORITY_NORMAL:
            contexts.priorities = [row.priority for row in members]
        if self._with_states:
            contexts.tracestates = [row.trace.tracestate for row in members]
        if self._for_tenants:
            contexts.tenants = [row.tenant for row in members]
        return contexts
