"""What steps made of a batch, wherever they ran."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeAlias

from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.errors import TailraceError

Worked: TypeAlias = tuple[Columns, dict[int, TailraceError]]
"""The columns, and the rows that failed, which the batch learns of on the event loop."""


def settled(
    batch: Batch, worked: Worked | Coroutine[Any, Any, Worked]
) -> Columns | Coroutine[Any, Any, Columns]:
    """Returns the columns, at once or to be awaited; the failures are marked in `batch.rows`."""
    return _noted(batch, *worked) if isinstance(worked, tuple) else _later(batch, worked)


async def _later(batch: Batch, worked: Coroutine[Any, Any, Worked]) -> Columns:
    return _noted(batch, *await worked)


def _noted(batch: Batch, columns: Columns, failures: dict[int, TailraceError]) -> Columns:
    for row, error in failures.items():
        batch.rows.fail(row, error)
    return columns
