"""Makes one input tensor of the model from blocks of one layout, and says which cells are bad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.conversion import Conversion
from tailrace.inference.stacking import StackPlan, fit, plan_stack
from tailrace.runtime.columns import Array, Block
from tailrace.runtime.errors import InvalidBatch
from tailrace.runtime.pipeline.model_section import ModelInput

BadCells = NDArray[np.bool_]


class InputMaker(Protocol):
    """Makes one tensor.

    Attributes:
        name: of the input.
        columns: the columns that it is made of.
        is_single: whether it is one column as it is, and no stack.
    """

    name: str
    columns: tuple[str, ...]
    is_single: bool

    def make(
        self, blocks: Sequence[Block], rows: NDArray[np.intp] | None
    ) -> tuple[Array, BadCells | None]:
        """Returns the tensor, [rows, ...], and its bad cells, [rows, columns], None if none are.

        Of lists, a cell is the whole list: it is bad if any of its elements is.

        Args:
            blocks: of the batch, in the layout that the maker was made for.
            rows: the rows to take; None for all.
        """


class InputChecks:
    """What the input declares of its values."""

    def __init__(self, item: ModelInput) -> None:
        """Keeps what is checked."""
        self.name = item.name
        self.columns = tuple(item.source_columns())
        self.is_single = item.column is not None
        self._dtype = item.dtype
        self._numpy = item.dtype.numpy
        self._is_floating = item.dtype.is_floating
        self._allow_nan = item.allow_nan and item.dtype.is_floating

    def not_allowed(self, tensor: Array) -> BadCells | None:
        """Returns where the tensor holds an infinity, or a NaN that is not allowed."""
        if not self._is_floating:
            return None
        if self._allow_nan:
            infinite: BadCells = np.isinf(tensor)
            return infinite if infinite.any() else None
        finite: BadCells = np.isfinite(tensor)
        return None if finite.all() else ~finite

    def without_nulls(self, tensor: Array, nulls: BadCells | None) -> tuple[Array, BadCells | None]:
        """Returns the tensor with its nulls as NaN, if that is allowed, else with them as bad.

        Args:
            tensor: the values.
            nulls: where they are null, of the tensor's shape; None if none is.
        """
        if nulls is None or not nulls.any():
            return tensor, None
        if not self._allow_nan:
            return tensor, nulls
        return np.where(nulls, self._numpy.type(np.nan), tensor), None


class _StackMaker(InputChecks):
    """Columns side by side: [rows, columns]."""

    def __init__(self, item: ModelInput, plan: StackPlan) -> None:
        super().__init__(item)
        self._plan = plan

    def make(
        self, blocks: Sequence[Block], rows: NDArray[np.intp] | None
    ) -> tuple[Array, BadCells | None]:
        plan = self._plan
        tensor = plan.stack(blocks, rows, self._numpy)
        tensor, bad = self.without_nulls(tensor, plan.nulls(blocks, rows))
        if plan.ranged:
            bad = either(bad, plan.out_of_range(blocks, rows, self._dtype))
        return tensor, either(bad, self.not_allowed(tensor))


class _ColumnMaker(InputChecks):
    """One column as it is: [rows, ...]."""

    def __init__(self, item: ModelInput, block: int, place: int, kind: Conversion) -> None:
        super().__init__(item)
        self._block = block
        self._place = place
        self._ranged = kind is Conversion.RANGE

    def make(
        self, blocks: Sequence[Block], rows: NDArray[np.intp] | None
    ) -> tuple[Array, BadCells | None]:
        block = blocks[self._block]
        values = block.values[self._place]
        nulls = None if block.validity is None else ~block.validity[self._place]
        if rows is not None:
            values = values[rows]
            nulls = None if nulls is None else nulls[rows]
        with np.errstate(over="ignore"):
            tensor = np.ascontiguousarray(values, dtype=self._numpy)
        if nulls is not None:
            nulls = nulls.reshape(nulls.shape + (1,) * (tensor.ndim - 1))
        tensor, bad = self.without_nulls(tensor, nulls)
        if self._ranged:
            bounds = np.iinfo(self._numpy)
            bad = either(bad, (values < bounds.min) | (values > bounds.max))
        bad = either(bad, self.not_allowed(tensor))
        return tensor, None if bad is None else bad.reshape(len(bad), -1).any(axis=1, keepdims=True)


def stack_maker(item: ModelInput, blocks: Sequence[Block]) -> InputMaker:
    """Returns the maker of an input with `columns`. Raises InvalidBatch."""
    return _StackMaker(item, plan_stack(item.source_columns(), item.dtype, blocks))


def column_maker(item: ModelInput, blocks: Sequence[Block]) -> InputMaker:
    """Returns the maker of an input with a single `column`. Raises InvalidBatch."""
    for index, block in enumerate(blocks):
        if item.column in block.names:
            kind = fit(block, index, item.dtype, scalars=False)
            return _ColumnMaker(item, index, block.names.index(item.column), kind)
    raise InvalidBatch(f"the column {item.column!r} is missing", field="batch.blocks")


def either(first: BadCells | None, second: BadCells | None) -> BadCells | None:
    """Returns the cells that are bad for one reason or another; None if none are."""
    if first is None or second is None:
        return second if first is None else first
    return first | second
