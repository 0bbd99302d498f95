"""A batch: rows that travel the chain together, each with its own fate.

Contexts are plain lists: for a row or two they cost a fraction of what arrays do, and for
hundreds no more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.columns import Columns
from tailrace.runtime.errors import DeadlineExceeded, TailraceError
from tailrace.runtime.tracing.trace_context import TraceContext

PRIORITY_BACKGROUND = 4
"""PRIORITY_BACKGROUND of `tailrace.v1.Priority`, the highest number that there is."""


@dataclass(slots=True)
class Rows:
    """Who each row is and how it fares: parallel lists in row order.

    Attributes:
        request_ids: one per row.
        deadlines_ns: one per row, instants of this process's monotonic clock.
        traceparents: W3C traceparent per row; empty if none has one.
        tracestates: W3C tracestate per row; empty if none has one.
        priorities: `tailrace.v1.Priority` numbers per row; empty if none is set.
        tenants: one per row; empty if none is set.
        failures: the error of every row that has failed, by row index.
    """

    request_ids: list[str]
    deadlines_ns: list[int]
    traceparents: Sequence[str] = ()
    tracestates: Sequence[str] = ()
    priorities: Sequence[int] = ()
    tenants: Sequence[str] = ()
    failures: dict[int, TailraceError] = field(default_factory=dict)

    def __len__(self) -> int:
        """Returns the number of rows, failed ones included."""
        return len(self.request_ids)

    @property
    def background(self) -> bool:
        """Whether all rows are background work; others never share a batch with it."""
        return bool(self.priorities) and min(self.priorities) >= PRIORITY_BACKGROUND

    def fail(self, row: int, error: TailraceError) -> None:
        """Marks a row as failed; the first error of a row stays."""
        self.failures.setdefault(row, error)

    def limit_deadlines(self, latest_ns: int) -> None:
        """Brings deadlines forward to `latest_ns`, when the whole call ends."""
        if max(self.deadlines_ns) > latest_ns:
            self.deadlines_ns = [min(each_ns, latest_ns) for each_ns in self.deadlines_ns]

    def fail_expired(self, now_ns: int | None = None) -> None:
        """Fails every live row whose deadline has passed."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        if min(self.deadlines_ns) > now_ns:
            return
        for row, deadline_ns in enumerate(self.deadlines_ns):
            if deadline_ns <= now_ns:
                self.fail(row, DeadlineExceeded("the deadline passed before this hop could work"))

    def latest_deadline_ns(self) -> int:
        """Returns the latest deadline of the live rows; 0 if there are none."""
        if not self.failures:
            return max(self.deadlines_ns)
        deadlines_ns = enumerate(self.deadlines_ns)
        return max((each for row, each in deadlines_ns if row not in self.failures), default=0)

    def live(self) -> NDArray[np.intp]:
        """Returns the indices of the rows that have not failed, ascending."""
        if not self.failures:
            return np.arange(len(self), dtype=np.intp)
        alive = np.ones(len(self), dtype=np.bool_)
        alive[list(self.failures)] = False
        return np.flatnonzero(alive)


@dataclass(slots=True)
class Batch:
    """Rows of one pipeline version, with their columns.

    Attributes:
        pipeline: name of the pipeline.
        version: exact version of the pipeline.
        rows: contexts and failures.
        columns: values; failed rows may hold anything.
        waited_ns: how long the hop's work has waited for its turn elsewhere, as at a model.
        trace: the place that spans of the hop's work are below; None where it is not traced.
    """

    pipeline: str
    version: str
    rows: Rows
    columns: Columns
    waited_ns: int = 0
    trace: TraceContext | None = None
