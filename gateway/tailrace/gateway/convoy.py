"""A convoy: requests for one pipeline version that travel the chain together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tailrace.gateway.ledger import LedgerBook
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import DeadlineExceeded, TailraceError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.v1 import batch_pb2, feature_service_pb2, tensor_pb2


@dataclass(slots=True)
class ConvoyRow:
    """One request in a convoy.

    Attributes:
        request_id: for logs and traces.
        fields: the request.
        deadline_ns: instant of the monotonic clock.
        granted_ns: time granted on receipt, after default and clamp.
        received_ns: when the gateway received it.
        traceparent: W3C traceparent, or empty.
        tracestate: W3C tracestate, or empty.
        priority: number of `tailrace.v1.Priority`.
        tenant: for whom, or empty.
        error: why the row left the convoy; None while it is well.
    """

    request_id: str
    fields: Mapping[str, tensor_pb2.Value]
    deadline_ns: int
    granted_ns: int
    received_ns: int
    traceparent: str = ""
    tracestate: str = ""
    priority: batch_pb2.Priority.ValueType = batch_pb2.PRIORITY_NORMAL
    tenant: str = ""
    error: TailraceError | None = None


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


@dataclass(slots=True)
class Convoy:
    """Rows of one pipeline version on their way, and what became of them.

    Attributes:
        pipeline: the version that serves all of them.
        rows: never removed; a row that leaves has an error.
        book: what the hops spent.
        degradations: why rows are not live.
        views: what the features hop found, for `view_rows`.
        view_rows: indices of the rows that `views` speaks of.
        model_name: the model that answered.
        model_versions: version per row index.
        prediction_blocks: prediction columns, for `prediction_rows`.
        prediction_rows: indices of the rows that have a prediction, in block order.
    """

    pipeline: Pipeline
    rows: list[ConvoyRow]
    book: LedgerBook = field(default_factory=LedgerBook)
    degradations: list[Degradation] = field(default_factory=list)
    views: list[feature_service_pb2.ViewLookup] = field(default_factory=list)
    view_rows: list[int] = field(default_factory=list)
    model_name: str = ""
    model_versions: dict[int, str] = field(default_factory=dict)
    prediction_blocks: list[tensor_pb2.ColumnBlock] = field(default_factory=list)
    prediction_rows: list[int] = field(default_factory=list)

    def live(self) -> list[int]:
        """Returns the indices of the rows that are well, after expiring those out of time."""
        now_ns = time.monotonic_ns()
        live = []
        for index, row in enumerate(self.rows):
            if row.error is None:
                if row.deadline_ns > now_ns:
                    live.append(index)
                else:
                    row.error = DeadlineExceeded("the deadline passed")
        return live

    def fail(self, rows: list[int], error: TailraceError) -> None:
        """Makes rows leave with an error; the first error of a row stays."""
        for index in rows:
            if self.rows[index].error is None:
                self.rows[index].error = error

    def members(self, rows: list[int]) -> list[ConvoyRow]:
        """Returns the rows of some indices."""
        return [self.rows[index] for index in rows]

    def latest_deadline_ns(self, rows: list[int]) -> int:
        """Returns the latest deadline of some rows, as an instant of the monotonic clock."""
        return max(self.rows[index].deadline_ns for index in rows)

    def header(self, rows: list[int]) -> batch_pb2.Batch:
        """Returns a batch of some rows without columns; time remaining is as of now."""
        now_ns = time.monotonic_ns()
        members = self.members(rows)
        contexts = batch_pb2.RowContexts(
            count=len(members),
            request_ids=[row.request_id for row in members],
            remaining_us=[(row.deadline_ns - now_ns) // NS_PER_US for row in members],
            priorities=[row.priority for row in members],
        )
        if any(row.traceparent for row in members):
            contexts.traceparents.extend(row.traceparent for row in members)
            contexts.tracestates.extend(row.tracestate for row in members)
        if any(row.tenant for row in members):
            contexts.tenants.extend(row.tenant for row in members)
        return batch_pb2.Batch(
            pipeline=self.pipeline.name,
            pipeline_version=self.pipeline.version,
            rows=contexts,
        )
