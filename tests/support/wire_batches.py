"""Batches as the gateway writes and reads them."""

from __future__ import annotations

import inspect
import time
from typing import Any

from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.wire import (
    block_from_proto,
    block_to_proto,
    error_from_proto,
    error_to_proto,
)
from tailrace.v1 import batch_pb2


def batch_to_proto(batch: Batch) -> batch_pb2.Batch:
    """Returns a batch as it is sent, with the time remaining as of now."""
    rows, now_ns = batch.rows, time.monotonic_ns()
    return batch_pb2.Batch(
        pipeline=batch.pipeline,
        pipeline_version=batch.version,
        rows=batch_pb2.RowContexts(
            count=len(rows),
            request_ids=rows.request_ids,
            remaining_us=[(each_ns - now_ns) // NS_PER_US for each_ns in rows.deadlines_ns],
            errors=[error_to_proto(row, error) for row, error in rows.failures.items()],
            traceparents=rows.traceparents,
            tracestates=rows.tracestates,
            priorities=rows.priorities,  # type: ignore[arg-type]  # plain numbers are accepted
            tenants=rows.tenants,
        ),
        blocks=[block_to_proto(block) for block in batch.columns.blocks],
    )


def answer_from_proto(message: batch_pb2.Batch) -> Batch:
    """Returns a hop's answer: its columns and who failed; of the rest of the rows it has none."""
    count = message.rows.count
    rows = Rows([""] * count, [0] * count)
    for error in message.rows.errors:
        rows.fail(error.row, error_from_proto(error))
    columns = Columns(count)
    columns.extend([block_from_proto(block, count, "blocks") for block in message.blocks])
    return Batch(message.pipeline, message.pipeline_version, rows, columns)


async def done(result: Any) -> Any:
    """Returns what a handler made, at once or after a wait."""
    return await result if inspect.isawaitable(result) else result
