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
    """The columns of one type that a lookup returns, as they are where nothing is found.

    Attributes:
        dtype: type of all of them.
        names: `<view>.<feature>`, flags included.
        values: shape [names, 1].
    """

    dtype: DType
    names: tuple[str, ...]
    values: Array

    def block(self, rows: int) -> Block:
        """Returns the columns for so many rows that nothing was found for."""
        return Block(self.names, self.dtype, np.repeat(self.values, rows, axis=1))

    def empty_block(self, rows: int) -> Block:
        """Returns the columns for so many rows, to be filled; bools are False."""
        # Flags are bools, and seldom set.
        make = np.zeros if self.dtype is DType.BOOL else np.empty
        values = make((len(self.names), rows), self.dtype.numpy)
        return Block(self.names, self.dtype, values)


def default_columns(plans: Sequence[ViewPlan]) -> tuple[DefaultColumns, ...]:
    """Returns the columns of all views, those of one type together."""
    values: dict[DType, dict[str, float | int | bool | str]] = {}
    for plan in plans:
        view = plan.view
        for feature in view.features:
            name = f"{view.view}.{feature.name}"
            values.setdefault(feature.dtype, {})[name] = feature.default_value
        for flag in view.flag_names():
            values.setdefault(DType.BOOL, {})[f"{view.view}.{flag}"] = flag == "missing"
    columns = []
    for dtype in STORAGE_ORDER:
        if dtype in values:
            column = np.array(list(values[dtype].values()), dtype.numpy)
            columns.append(DefaultColumns(dtype, tuple(values[dtype]), column[:, np.newaxis]))
    return tuple(columns)


def default_blocks(plan: ViewPlan, rows: int) -> list[Block]:
    """Returns the columns of one view for rows of which no features could be had.

    They are what a lookup returns for entities that are missing: every feature is its
    default, the flag `missing` is true and the flag `stale` false.
    """
    return [columns.block(rows) for columns in default_columns([plan])]
