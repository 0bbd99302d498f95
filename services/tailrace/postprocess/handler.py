"""The postprocess hop, whatever carries it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tailrace.postprocess.compile import CompiledPostprocess
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import PostprocessSettings
from tailrace.runtime.steps.offload import Abandoned, Offloader
from tailrace.runtime.steps.worked import Worked, settled


class PostprocessHandler:
    """Turns model outputs into predictions."""

    def __init__(self, settings: PostprocessSettings) -> None:
        """Keeps the limits."""
        self._offloader = Offloader(settings.offload_cells)

    def handle(
        self, batch: Batch, compiled: CompiledPostprocess
    ) -> Columns | Coroutine[Any, Any, Columns]:
        """Returns the prediction columns for all rows; marks bad rows in `batch.rows`.

        Failed rows hold zeros; if no row is left, there are no columns. Large batches, and all
        of a pipeline that is slow, are worked on in a thread: what is returned is to be awaited.

        Args:
            batch: the rows, with the model's outputs and carried columns.
            compiled: the pipeline.

        Raises:
            InvalidBatch: a column is missing, or of the wrong type or shape.
        """
        worked = self._offloader.run(
            len(batch.rows) * compiled.width,
            compiled.pace,
            lambda abandoned: _work(batch, compiled, abandoned),
        )
        return settled(batch, worked)


def _work(batch: Batch, compiled: CompiledPostprocess, abandoned: Abandoned) -> Worked:
    table = compiled.read(batch.columns, batch.rows.live())
    return compiled.transform(table, abandoned), table.failures
