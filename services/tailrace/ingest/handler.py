"""The ingest hop, whatever carries it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from tailrace.ingest.compile import CompiledIngest
from tailrace.ingest.request_reader import Request
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.errors import InvalidBatch, LimitExceeded
from tailrace.runtime.steps.offload import Abandoned, Offloader
from tailrace.runtime.steps.worked import Worked, settled


class IngestHandler:
    """Validates requests and turns them into columns."""

    def __init__(self, settings: IngestSettings) -> None:
        """Keeps the limits."""
        self._offloader = Offloader(settings.offload_cells)
        self._max_bytes = settings.max_message_bytes

    def handle(
        self, batch: Batch, requests: Sequence[Request], compiled: CompiledIngest
    ) -> Columns | Coroutine[Any, Any, Columns]:
        """Returns the pipeline's ingest columns for all rows; marks bad rows in `batch.rows`.

        Failed rows hold zeros; if no row is left, there are no columns. Large batches, and all
        of a pipeline that is slow, are worked on in a thread: what is returned is to be awaited.

        Args:
            batch: the rows.
            requests: the fields of each row of the batch.
            compiled: the pipeline.

        Raises:
            InvalidBatch: not one request per row.
            LimitExceeded: the rows' tensors would outgrow a message.
        """
        rows = len(batch.rows)
        self._check_size(rows, requests, compiled)
        worked = self._offloader.run(
            rows * compiled.width,
            compiled.pace,
            lambda abandoned: _work(batch, requests, compiled, abandoned),
        )
        return settled(batch, worked)

    def _check_size(self, rows: int, requests: Sequence[Request], compiled: CompiledIngest) -> None:
        if len(requests) != rows:
            raise InvalidBatch(f"{len(requests)} requests for {rows} rows", field="requests")
        # Rows without their tensors are small on arrival, and would grow to full size here.
        if rows * compiled.tensor_bytes > self._max_bytes:
            raise LimitExceeded(
                f"the tensors of {rows} rows take {rows * compiled.tensor_bytes} bytes, "
                f"at most {self._max_bytes}",
                field="batch.rows.count",
            )


def _work(
    batch: Batch,
    requests: Sequence[Request],
    compiled: CompiledIngest,
    abandoned: Abandoned,
) -> Worked:
    live = batch.rows.live()
    if len(live) != len(requests):
        requests = [requests[row] for row in live.tolist()]
    table = compiled.reader.read(requests, live, len(batch.rows))
    return compiled.transform(table, abandoned), table.failures
