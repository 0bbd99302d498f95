"""What stands in for features that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailrace.features.row_schema import STORAGE_ORDER
from tailrace.runtime.columns import Array, Block, DType
from tailrace.runtime.pipeline.plan import ViewPlan


@dataclass(frozen=True, slots=True)
class DefaultColumns:
    """The columns of one type and shape that a lookup returns, as they are where nothing is found.

    Attributes:
        dtype: type of all of them.
        names: `<name of the view>.<feature>`, flags included.
        row_shape: shape of one row's value; empty for single values.
        values: shape [names, 1].
    """

    dtype: DType
    names: tuple[str, ...]
    row_shape: tuple[int, ...]
    values: Array

    def empty(self, rows: int) -> Array:
        """Returns values for so many rows, to be filled: [names, rows, ...]; bools are False."""
        # Flags are bools, and seldom set.
        make = np.zeros if self.dtype is DType.BOOL else np.empty
        values: Array = make((len(self.names), rows, *self.row_shape), self.dtype.numpy)
        return values

    def blocks(self, values: Array) -> list[Block]:
        """Returns values, [names, rows, ...], as blocks: one, or one per name if they are vectors.

        A block of several names holds single values.
        """
        if not self.row_shape:
            return [Block(self.names, self.dtype, values)]
        return [
            Block((name,), self.dtype, values[place : place + 1])
            for place, name in enumerate(self.names)
        ]


def default_columns(plans: Sequence[ViewPlan]) -> tuple[DefaultColumns, ...]:
    """Returns the columns of all views, those of one type and shape together."""
    together: dict[tuple[DType, tuple[int, ...]], dict[str, float | int | bool | str]] = {}
    for plan in plans:
        features = plan.view.features
        values = [feature.default_value for feature in features]
        values += [flag == "missing" for flag in plan.view.flag_names()]
        for column, value in zip(plan.columns(), values, strict=True):
            together.setdefault((column.dtype, column.row_shape), {})[column.name] = value
    return tuple(
        DefaultColumns(
            dtype,
            tuple(together[dtype, shape]),
            shape,
            np.array(list(together[dtype, shape].values()), dtype.numpy)[:, np.newaxis],
        )
        for dtype, shape in sorted(together, key=_block_place)
    )


def default_blocks(plan: ViewPlan, rows: int) -> list[Block]:
    """Returns the columns of one view for rows of which no features could be had.

    They are what a lookup returns for entities that are missing: every feature is its
    default, the flag `missing` is true and the flag `stale` false.
    """
    blocks: list[Block] = []
    for columns in default_columns([plan]):
        values = columns.empty(rows)
        values.T[:] = columns.values[:, 0]
        blocks += columns.blocks(values)
    return blocks


def _block_place(columns: tuple[DType, tuple[int, ...]]) -> tuple[int, int, tuple[int, ...]]:
    dtype, row_shape = columns
    return len(row_shape), STORAGE_ORDER.index(dtype), row_shape
