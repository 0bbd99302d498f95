"""Copies columns of a batch side by side into one model input, whole blocks at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.conversion import Conversion, conversion
from tailrace.runtime.columns import Array, Block, DType
from tailrace.runtime.errors import InvalidBatch

MAX_SLICES_PER_BLOCK = 4

Places = slice | NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy from a block of columns to columns of the tensor.

    Attributes:
        block: index of the block in the batch.
        source: the columns' places in the block.
        target: their places in the tensor's second dimension.
        conversion: what the change of type may do to values.
    """

    block: int
    source: Places
    target: Places
    conversion: Conversion


def plan_copies(names: Sequence[str], dtype: DType, blocks: Sequence[Block]) -> list[Copy]:
    """Returns the copies that put the columns `names`, in this order, into a tensor of `dtype`.

    Columns that lie in a block in the wanted order are copied together; a block that is
    shuffled beyond a few pieces is gathered by index, which is still one copy.

    Raises:
        InvalidBatch: a column is missing, holds vectors, or is of a type that does not fit.
    """
    where = {
        name: (index, place)
        for index, block in enumerate(blocks)
        for place, name in enumerate(block.names)
    }
    wanted: dict[int, list[tuple[int, int]]] = {}
    for target, name in enumerate(names):
        if name not in where:
            raise InvalidBatch(f"the column {name!r} is missing", field="batch.blocks")
        index, place = where[name]
        wanted.setdefault(index, []).append((place, target))
    return [
        copy
        for index, pairs in wanted.items()
        for copy in _plan_block(index, pairs, fit(blocks[index], index, dtype, scalars=True))
    ]


def fit(block: Block, index: int, dtype: DType, *, scalars: bool) -> Conversion:
    """Returns what the block's type change takes. Raises InvalidBatch if the block cannot serve."""
    if scalars and block.values.ndim != 2:
        raise InvalidBatch(
            f"the column {block.names[0]!r} holds vectors and cannot be stacked",
            field=f"batch.blocks[{index}]",
        )
    kind = conversion(block.dtype, dtype)
    if kind is Conversion.REFUSED:
        raise InvalidBatch(
            f"columns of type {block.dtype.value} cannot feed a model input of type {dtype.value}",
            field=f"batch.blocks[{index}].values.dtype",
        )
    return kind


def _plan_block(index: int, pairs: list[tuple[int, int]], kind: Conversion) -> list[Copy]:
    runs: list[list[tuple[int, int]]] = []
    for place, target in pairs:
        if runs and (place - 1, target - 1) == runs[-1][-1]:
            runs[-1].append((place, target))
        else:
            runs.append([(place, target)])
    if len(runs) > MAX_SLICES_PER_BLOCK:
        runs = [pairs]
    return [
        Copy(index, _places([p for p, _ in run]), _places([t for _, t in run]), kind)
        for run in runs
    ]


def _places(indices: list[int]) -> Places:
    if indices == list(range(indices[0], indices[0] + len(indices))):
        return slice(indices[0], indices[0] + len(indices))
    return np.array(indices, dtype=np.intp)


def copied(
    block: Block, copy: Copy, rows: NDArray[np.intp] | None
) -> tuple[Array, NDArray[np.bool_] | None]:
    """Returns the values of one copy, [rows, columns], and where they are null (None: nowhere).

    Args:
        block: the block that `copy` names.
        copy: what to take of it.
        rows: the rows to take; None for all.
    """
    values = block.values[copy.source]
    nulls = None if block.validity is None else ~block.validity[copy.source]
    if rows is not None:
        values = values[:, rows]
        nulls = None if nulls is None else nulls[:, rows]
    if nulls is None or not nulls.any():
        return values.T, None
    return values.T, nulls.T
