"""From the columns of a step table to the blocks that leave a hop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tailrace.runtime.columns import Array, Block, Columns, DType
from tailrace.runtime.pipeline.plan import BlockLayout
from tailrace.runtime.steps.conversion import put_converted
from tailrace.runtime.steps.step_table import Blame, Mask, StepColumn, StepTable


def emit(table: StepTable, layout: Sequence[BlockLayout], blames: Mapping[str, Blame]) -> Columns:
    """Returns the columns of the layout for all rows of the batch.

    Nulls are told by the validity, and are NaN in columns of floats. Rows that have failed
    hold zeros. Without a single row left there are no blocks.

    Args:
        table: holds every column of the layout; those of another type are converted in it.
        layout: names, types and order of the blocks.
        blames: for each column, who is to blame if a value does not fit its type.
    """
    with np.errstate(all="ignore"):
        for block in layout if table.rows else ():
            for name in block.names:
                column = table.columns[name]
                if column.dtype is not block.dtype:
                    put_converted(table, name, column, block.dtype, blames[name])
    if not table.rows:
        return Columns(table.batch_rows)
    return Columns(table.batch_rows, [_block(table, block) for block in layout])


def _block(table: StepTable, layout: BlockLayout) -> Block:
    columns = [table.columns[name] for name in layout.names]
    if table.is_whole and len(columns) == 1:
        values = columns[0].values[np.newaxis]
    else:
        shape = columns[0].values.shape[1:]
        values = _blank(layout.dtype, (len(columns), table.batch_rows, *shape), table.is_whole)
        places: Array | slice = slice(None) if table.is_whole else table.places
        for place, column in enumerate(columns):
            values[place, places] = column.values
    return Block(layout.names, layout.dtype, values, _validity(table, columns))


def _blank(dtype: DType, shape: tuple[int, ...], is_written_over: bool) -> Array:
    if dtype is DType.STRING:
        return np.full(shape, "", dtype=object)
    if dtype is DType.BYTES:
        return np.full(shape, b"", dtype=object)
    return np.empty(shape, dtype.numpy) if is_written_over else np.zeros(shape, dtype.numpy)


def _validity(table: StepTable, columns: list[StepColumn]) -> Mask | None:
    if all(column.valid is None for column in columns):
        return None
    validity = np.ones((len(columns), table.batch_rows), dtype=np.bool_)
    for place, column in enumerate(columns):
        if column.valid is not None:
            validity[place, table.places] = column.valid
    return validity
