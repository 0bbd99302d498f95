"""Makes the model's input tensors out of a batch's columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.conversion import Conversion
from tailrace.inference.stacking import Copy, copied, fit, plan_copies
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Array, Block, Columns, DType
from tailrace.runtime.errors import InvalidBatch, InvalidField
from tailrace.runtime.pipeline.model_section import ModelInput

MAX_PLANS = 64

Layout = tuple[tuple[tuple[str, ...], int, tuple[int, ...]], ...]
BadCells = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
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

    def __init__(self, inputs: Sequence[ModelInput]) -> None:
        """Keeps the inputs, as the pipeline file declares them."""
        self._inputs = tuple(inputs)
        self._plans: dict[Layout, list[list[Copy]]] = {}

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
        plans = self._plans_for(columns.blocks)
        taken = None if len(live) == columns.rows else live
        tensors: dict[str, Array] = {}
        bad = None
        for model_input, copies in zip(self._inputs, plans, strict=True):
            if model_input.column is None:
                tensor, cells = _stack(model_input, columns.blocks, copies, taken, len(live))
            else:
                tensor, cells = _pass_on(model_input, columns.blocks, copies[0], taken)
            tensors[model_input.name] = tensor
            if cells is not None:
                bad_rows = _fail_rows(model_input, cells, tensor, live, rows)
                bad = bad_rows if bad is None else bad | bad_rows
        if bad is None:
            return Assembled(live, tensors)
        return Assembled(live, tensors).take(~bad)

    def _plans_for(self, blocks: Sequence[Block]) -> list[list[Copy]]:
        # The identity of the type stands for the type: an enum's own hash is slow.
        layout = tuple((block.names, id(block.dtype), block.values.shape[2:]) for block in blocks)
        plans = self._plans.get(layout)
        if plans is None:
            plans = [_plan(model_input, blocks) for model_input in self._inputs]
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[layout] = plans
        return plans


def _plan(model_input: ModelInput, blocks: Sequence[Block]) -> list[Copy]:
    if model_input.column is None:
        return plan_copies(model_input.source_columns(), model_input.dtype, blocks)
    for index, block in enumerate(blocks):
        if model_input.column in block.names:
            kind = fit(block, index, model_input.dtype, scalars=False)
            place = block.names.index(model_input.column)
            return [Copy(index, slice(place, place + 1), slice(0, 1), kind)]
    raise InvalidBatch(f"the column {model_input.column!r} is missing", field="batch.blocks")


def _stack(
    model_input: ModelInput,
    blocks: Sequence[Block],
    copies: list[Copy],
    rows: NDArray[np.intp] | None,
    count: int,
) -> tuple[Array, BadCells | None]:
    dtype = model_input.dtype
    tensor = np.empty((count, len(model_input.source_columns())), dtype.numpy)
    bad: BadCells | None = None
    for copy in copies:
        values, nulls = copied(blocks[copy.block], copy, rows)
        if copy.conversion is Conversion.OVERFLOW:
            with np.errstate(over="ignore"):
                tensor[:, copy.target] = values
        else:
            tensor[:, copy.target] = values
        cells = _nulls_of(model_input, nulls)
        if nulls is not None and cells is None:
            tensor[:, copy.target] = np.where(nulls, np.nan, tensor[:, copy.target])
        if copy.conversion is Conversion.RANGE:
            cells = _either(cells, _out_of_range(values, dtype))
        if cells is not None:
            bad = np.zeros(tensor.shape, np.bool_) if bad is None else bad
            bad[:, copy.target] = cells
    return tensor, _either(bad, _not_allowed(model_input, tensor))


def _pass_on(
    model_input: ModelInput,
    blocks: Sequence[Block],
    copy: Copy,
    rows: NDArray[np.intp] | None,
) -> tuple[Array, BadCells | None]:
    block = blocks[copy.block]
    place = copy.source.start if isinstance(copy.source, slice) else 0
    values = block.values[place]
    nulls = None if block.validity is None else ~block.validity[place]
    if rows is not None:
        values = values[rows]
        nulls = None if nulls is None else nulls[rows]
    with np.errstate(over="ignore"):
        tensor = np.ascontiguousarray(values, dtype=model_input.dtype.numpy)
    cells = None
    if nulls is not None and nulls.any():
        cells = _nulls_of(model_input, nulls)
        if cells is None:
            tensor = tensor.copy()
            tensor[nulls] = np.nan
    if copy.conversion is Conversion.RANGE:
        cells = _either(cells, _per_row(_out_of_range(values, model_input.dtype)))
    cells = _either(cells, _per_row(_not_allowed(model_input, tensor)))
    return tensor, None if cells is None else cells[:, np.newaxis]


def _nulls_of(model_input: ModelInput, nulls: BadCells | None) -> BadCells | None:
    """Returns the nulls that the input cannot take; those that become NaN are none."""
    if nulls is None or (model_input.allow_nan and model_input.dtype.is_floating):
        return None
    return nulls


def _not_allowed(model_input: ModelInput, tensor: Array) -> BadCells | None:
    """Returns where the tensor holds an infinity, or a NaN that is not allowed; None: nowhere."""
    if not model_input.dtype.is_floating:
        return None
    if model_input.allow_nan:
        infinite: BadCells = np.isinf(tensor)
        return infinite if infinite.any() else None
    finite: BadCells = np.isfinite(tensor)
    return None if finite.all() else ~finite


def _out_of_range(values: Array, dtype: DType) -> BadCells | None:
    bounds = np.iinfo(dtype.numpy)
    outside: BadCells = (values < bounds.min) | (values > bounds.max)
    return outside if outside.any() else None


def _per_row(cells: BadCells | None) -> BadCells | None:
    if cells is None or cells.ndim == 1:
        return cells
    bad: BadCells = cells.reshape(len(cells), -1).any(axis=1)
    return bad


def _either(first: BadCells | None, second: BadCells | None) -> BadCells | None:
    if first is None or second is None:
        return second if first is None else first
    return first | second


def _fail_rows(
    model_input: ModelInput, cells: BadCells, tensor: Array, live: NDArray[np.intp], rows: Rows
) -> NDArray[np.bool_]:
    """Fails the rows with bad cells, each for its first one, and returns which they are."""
    bad: NDArray[np.bool_] = cells.any(axis=1)
    names = model_input.source_columns()
    for place in np.flatnonzero(bad).tolist():
        column = int(cells[place].argmax())
        cell = tensor[place] if model_input.column is not None else tensor[place, column]
        rows.fail(
            int(live[place]),
            InvalidField(
                f"the column {names[column]!r} holds {_describe(cell, model_input.dtype)}, which "
                f"the model input {model_input.name!r} does not take",
                field=names[column],
            ),
        )
    return bad


def _describe(cell: Array, dtype: DType) -> str:
    if not dtype.is_floating:
        return "null or an integer out of range"
    if np.isinf(cell).any():
        return "an infinity"
    return "NaN" if np.isnan(cell).any() else "null"
