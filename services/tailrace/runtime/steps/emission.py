"""From the columns of a step table to the blocks that leave a hop."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from tailrace.runtime.columns import Array, Block, Columns, DType
from tailrace.runtime.pipeline.plan import BlockLayout
from tailrace.runtime.steps.conversion import can_convert, put_converted
from tailrace.runtime.steps.step_table import Blame, Mask, StepColumn, StepTable


def emit(table: StepTable, layout: Sequence[BlockLayout], blames: Mapping[str, Blame]) -> Columns:
    """Returns the columns of the layout for all rows of the batch.

    Nulls are told by the validity, and are NaN in columns of floats. Rows that have failed
    hold zeros. Without a single row left there are no blocks.

    Call it under `np.errstate(all="ignore")`.

    Args:
        table: holds every column of the layout; those of another type are converted in it.
        layout: names, types and order of the blocks.
        blames: for each column, who is to blame if a value does not fit its type.
    """
    if table.is_whole:
        blocks = [_block_at_once(table, block) for block in layout]
        if None not in blocks:
            return Columns(table.batch_rows, [block for block in blocks if block is not None])
    for block in layout if table.rows else ():
        for name in block.names:
            column = table.columns[name]
            if column.dtype is not block.dtype:
                put_converted(table, name, column, block.dtype, blames[name])
    if not table.rows:
        return Columns(table.batch_rows)
    return Columns(table.batch_rows, [_block(table, block) for block in layout])


def _block_at_once(table: StepTable, layout: BlockLayout) -> Block | None:
    """Returns the block, if nothing in it is null or fails to fit its type; None if not.

    The usual case: what a conversion may do wrong is looked for in the whole block at once.
    """
    columns = [table.columns[name] for name in layout.names]
    is_converted = False
    for column in columns:
        if column.valid is not None:
            return None
        if column.dtype is not layout.dtype:
            if not _is_cast(column.dtype, layout.dtype):
                return None
            is_converted = True
    first = columns[0].values
    if len(columns) == 1 and not is_converted:
        return Block(layout.names, layout.dtype, first[np.newaxis])
    values = np.empty((len(columns), *first.shape), layout.dtype.numpy)
    for place, column in enumerate(columns):
        values[place] = column.values
    if is_converted and layout.dtype.is_floating and np.isinf(values).any():
        return None
    return Block(layout.names, layout.dtype, values)


@functools.cache
def _is_cast(source: DType, target: DType) -> bool:
    """Returns whether numpy's cast is the conversion, but for numbers that become infinite."""
    if target is DType.BOOL or not can_convert(source, target):
        return False
    return target.is_floating or np.can_cast(source.numpy, target.numpy, "safe")


def _block(table: StepTable, layout: BlockLayout) -> Block:
    columns = [table.columns[name] for name in layout.names]
    shape = columns[0].values.shape[1:]
    values = _blank(layout.dtype, (len(columns), table.batch_rows, *shape))
    for place, column in enumerate(columns):
        values[place, table.places] = column.values
    return Block(layout.names, layout.dtype, values, _validity(table, columns))


def _blank(dtype: DType, shape: tuple[int, ...]) -> Array:
    if dtype is DType.STRING:
        return np.full(shape, "", dtype=object)
    if dtype is DType.BYTES:
        return np.full(shape, b"", dtype=object)
    return np.zeros(shape, dtype.numpy)


def _validity(table: StepTable, columns: list[StepColumn]) -> Mask | None:
    if all(column.valid is None for column in columns):
        return None
    validity = np.ones((len(columns), table.batch_rows), dtype=np.bool_)
    for place, column in enumerate(columns):
        if column.valid is not None:
            validity[place, table.places] = column.valid
    return validity
