"""Makes the model's input tensors out of a batch's columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.input_maker import BadCells, InputMaker, column_maker, stack_maker
from tailrace.inference.list_maker import list_lengths, list_maker
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Array, Block, Columns
from tailrace.runtime.errors import InvalidField
from tailrace.runtime.pipeline.column_kind import Kinds
from tailrace.runtime.pipeline.model_section import ModelInput

MAX_LAYOUTS = 64

Layout = tuple[object, ...]


@dataclass(slots=True)
class Assembled:
    """Input tensors of the rows that can be run.

    Attributes:
        rows: indices in the batch of the tensors' rows, ascending.
        tensors: by input name, each [len(rows), ...].
    """

    rows: NDArray[np.intp]
    tensors: dict[str, Array]

    def take(self, places: slice | NDArray[np.bool_]) -> Assembled:
        """Returns some of the rows, with their tensors."""
        tensors = {name: tensor[places] for name, tensor in self.tensors.items()}
        return Assembled(self.rows[places], tensors)


class InputAssembler:
    """Makes the input tensors of one pipeline.

    Where each column lies is worked out once per layout of the incoming blocks and kept.
    """

    def __init__(
        self,
        inputs: Sequence[ModelInput],
        columns: Kinds | None = None,
        features: Collection[str] = (),
    ) -> None:
        """Keeps the inputs, as the pipeline file declares them.

        Args:
            inputs: of the model.
            columns: what the pipeline file says of the columns; None where none is a list.
            features: the columns that are features: what they hold is not the caller's doing, and
                messages say so.
        """
        self._inputs = tuple(inputs)
        self._columns = columns or {}
        self._features = frozenset(features)
        self._makers: dict[Layout, list[InputMaker]] = {}

    def assemble(self, columns: Columns, live: NDArray[np.intp], rows: Rows) -> Assembled:
        """Returns the tensors of the live rows, without those that the model cannot take.

        A row with a null, a NaN or an infinity where its input allows none, or with an integer
        out of range, fails with InvalidField that names the column.

        Args:
            columns: of the whole batch.
            live: the rows to run, ascending.
            rows: where rows that cannot be run are marked as failed.

        Raises:
            InvalidBatch: a column is missing or of a type or shape that cannot be used.
        """
        blocks = columns.blocks
        taken = None if len(live) == columns.rows else live
        tensors: dict[str, Array] = {}
        bad = None
        for maker in self._makers_for(blocks):
            tensor, cells = maker.make(blocks, taken)
            tensors[maker.name] = tensor
            if cells is not None:
                self._fail_rows(maker, cells, tensor, live, rows)
                bad_rows = cells.any(axis=1)
                bad = bad_rows if bad is None else bad | bad_rows
        assembled = Assembled(live, tensors)
        return assembled if bad is None else assembled.take(~bad)

    def _makers_for(self, blocks: Sequence[Block]) -> list[InputMaker]:
        layout = tuple([(block.names, block.dtype, block.values.shape[2:]) for block in blocks])
        makers = self._makers.get(layout)
        if makers is None:
            makers = [self._maker(item, blocks) for item in self._inputs]
            if len(self._makers) >= MAX_LAYOUTS:
                self._makers.clear()
            self._makers[layout] = makers
        return makers

    def _maker(self, item: ModelInput, blocks: Sequence[Block]) -> InputMaker:
        lengths = list_lengths(item, self._columns)
        if lengths:
            return list_maker(item, lengths, blocks)
        return stack_maker(item, blocks) if item.column is None else column_maker(item, blocks)

    def _fail_rows(
        self,
        maker: InputMaker,
        cells: BadCells,
        tensor: Array,
        live: NDArray[np.intp],
        rows: Rows,
    ) -> None:
        """Fails every row with a bad cell, for its first one."""
        for place in np.flatnonzero(cells.any(axis=1)).tolist():
            column = int(cells[place].argmax())
            name = maker.columns[column]
            cell = tensor[place] if maker.is_single else tensor[place, ..., column]
            holds = f"holds {_describe(cell)}"
            if name in self._features:
                holds = f"is a feature and {holds}, as its stored value or as its default"
            rows.fail(
                int(live[place]),
                InvalidField(
                    f"the column {name!r} {holds}, which the model input {maker.name!r} does not "
                    "take",
                    field=name,
                ),
            )


def _describe(cell: Array) -> str:
    if np.asarray(cell).dtype.kind != "f":
        return "null or an integer out of range"
    if np.isinf(cell).any():
        return "an infinity"
    return "NaN" if np.isnan(cell).any() else "null"
