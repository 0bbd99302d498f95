"""The postprocess hop, whatever carries it."""

from __future__ import annotations

from tailrace.postprocess.compile import CompiledPostprocess
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import PostprocessSettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.steps.offload import Abandoned, Offloader

Worked = tuple[Columns, dict[int, TailraceError]]


class PostprocessHandler:
    """Turns model outputs into predictions."""

    def __init__(self, settings: PostprocessSettings) -> None:
        """Keeps the limits."""
        self._offloader = Offloader(settings.offload_cells)

    async def handle(self, batch: Batch, compiled: CompiledPostprocess) -> Columns:
        """Returns the prediction columns for all rows; marks bad rows in `batch.rows`.

        Failed rows hold zeros; if no row is left, there are no columns. Large batches, and all
        of a pipeline that is slow, are worked on in a thread.

        Args:
            batch: the rows, with the model's outputs and carried columns.
            compiled: the pipeline.

        Raises:
            InvalidBatch: a column is missing, or of the wrong type or shape.
        """
        columns, failures = await self._offloader.run(
            len(batch.rows) * compiled.width,
            compiled.pace,
            lambda abandoned: _work(batch, compiled, abandoned),
        )
        for row, error in failures.items():
            batch.rows.fail(row, error)
        return columns


def _work(batch: Batch, compiled: CompiledPostprocess, abandoned: Abandoned) -> Worked:
    table = compiled.read(batch.columns, batch.rows.live())
    return compiled.transform(table, abandoned), table.failures
