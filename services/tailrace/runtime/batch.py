"""A batch: rows that travel the chain together, each with its own fate."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.columns import Columns
from tailrace.runtime.errors import DeadlineExceeded, TailraceError


@dataclass(slots=True)
class Rows:
    """Who each row is and how it fares: parallel lists in row order.

    Attributes:
        request_ids: one per row.
        deadlines_ns: int64 [rows], instants of this process's monotonic clock.
        traceparents: W3C traceparent per row; empty list if none has one.
        tracestates: W3C tracestate per row; empty list if none has one.
        priorities: `tailrace.v1.Priority` numbers per row; empty list if none is set.
        tenants: one per row; empty list if none is set.
        failures: the error of every row that has failed, by row index.
    """

    request_ids: list[str]
    deadlines_ns: NDArray[np.int64]
    traceparents: list[str] = field(default_factory=list)
    tracestates: list[str] = field(default_factory=list)
    priorities: list[int] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)
    failures: dict[int, TailraceError] = field(default_factory=dict)

    def __len__(self) -> int:
        """Returns the number of rows, failed ones included."""
        return len(self.request_ids)

    def fail(self, row: int, error: TailraceError) -> None:
        """Marks a row as failed; the first error of a row stays."""
        self.failures.setdefault(row, error)

    def fail_expired(self, now_ns: int | None = None) -> None:
        """Fails every live row whose deadline has passed."""
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        for row in np.flatnonzero(self.deadlines_ns <= now_ns).tolist():
            self.fail(row, DeadlineExceeded("the deadline passed before this hop could work"))

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
    """

    pipeline: str
    version: str
    rows: Rows
    columns: Columns
