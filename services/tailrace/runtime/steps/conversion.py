"""Conversion of a column to another element type."""

from __future__ import annotations

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.steps.step_table import Blame, Mask, StepColumn, StepTable

INTEGERS = frozenset(
    {
        DType.INT8,
        DType.INT16,
        DType.INT32,
        DType.INT64,
        DType.UINT8,
        DType.UINT16,
        DType.UINT32,
        DType.UINT64,
    }
)
FLOATS = frozenset(dtype for dtype in DType if dtype.is_floating)
NUMBERS = INTEGERS | FLOATS
NUMBERS_AND_BOOL = NUMBERS | {DType.BOOL}


def can_convert(source: DType, target: DType) -> bool:
    """Returns whether values of one type can become values of another.

    Numbers and bool become each other; a timestamp becomes a number of microseconds. Text,
    bytes and timestamps are made from nothing else.
    """
    if source is target:
        return True
    return target in NUMBERS_AND_BOOL and source in NUMBERS_AND_BOOL | {DType.TIMESTAMP}


def any_in_row(mask: Mask) -> Mask:
    """Returns whether any element of a row is true, bool [rows], for a mask [rows, ...]."""
    return mask if mask.ndim == 1 else mask.any(axis=tuple(range(1, mask.ndim)))


def as_float64(column: StepColumn) -> Array:
    """Returns the values as float64, NaN where null; may share memory with the column."""
    if column.dtype is DType.FLOAT64:
        return column.values
    values = column.values.astype(np.float64)
    if column.valid is not None and not column.dtype.is_floating:
        values[~column.valid] = np.nan
    return values


def convert(column: StepColumn, target: DType) -> tuple[StepColumn, Mask | None]:
    """Returns the column in another type, and the rows (bool [rows]) whose values do not fit it.

    To float: rounded to the nearest; a number beyond the type's range does not fit. To
    integer: cut off towards zero; a number beyond the range does not fit; NaN becomes null. To
    bool: whether it is not zero; NaN becomes null. Nulls stay null.

    Raises:
        ValueError: `can_convert` says no.
    """
    if column.dtype is target:
        return column, None
    if not can_convert(column.dtype, target):
        raise ValueError(f"{column.dtype.value} cannot become {target.value}")
    if target.is_floating:
        return _to_float(column, target)
    if column.dtype.is_floating:
        return _from_float(column, target)
    if target is DType.BOOL:
        return StepColumn(target, column.values != 0, column.valid), None
    return _between_integers(column, target)


def put_converted(
    table: StepTable, name: str, column: StepColumn, target: DType, blame: Blame
) -> None:
    """Puts a column into the table as `target`, and fails the rows that do not fit it.

    A computed infinity fits no type.
    """
    converted, unfit = convert(column, target)
    if converted is column and target.is_floating:
        unfit = _unfit_rows(np.isinf(column.values))
    table.columns[name] = converted
    if unfit is not None:
        table.fail(unfit, blame.because(f"column {name!r}: a number too large for {target.value}"))


def _to_float(column: StepColumn, target: DType) -> tuple[StepColumn, Mask | None]:
    values = column.values.astype(target.numpy)
    if column.valid is not None and not column.dtype.is_floating:
        values[~column.valid] = np.nan
    narrows = column.dtype.is_floating or target is DType.FLOAT16
    unfit = _unfit_rows(np.isinf(values)) if narrows else None
    return StepColumn(target, values, column.valid), unfit


def _from_float(column: StepColumn, target: DType) -> tuple[StepColumn, Mask | None]:
    values, valid, unfit = column.values, column.valid, None
    missing = np.isnan(values)
    if missing.any():
        values = np.where(missing, 0, values)
        # A vector with one NaN has no integer form: all of it is null.
        valid = ~any_in_row(missing)
    if target is DType.BOOL:
        return StepColumn(target, values != 0, valid), None
    values = np.trunc(values.astype(np.float64))
    limits = np.iinfo(target.numpy)
    # float(2**63 - 1) is 2**63, which no longer fits: compare with the first value beyond.
    beyond = (values < float(limits.min)) | (values >= float(limits.max + 1))
    unfit = _unfit_rows(beyond)
    if unfit is not None:
        values = np.where(beyond, 0, values)
    return StepColumn(target, values.astype(target.numpy), valid), unfit


def _between_integers(column: StepColumn, target: DType) -> tuple[StepColumn, Mask | None]:
    values, unfit = column.values, None
    if column.dtype is not DType.BOOL:
        own, wanted = np.iinfo(values.dtype), np.iinfo(target.numpy)
        if own.min < wanted.min or own.max > wanted.max:
            low, high = max(own.min, wanted.min), min(own.max, wanted.max)
            unfit = _unfit_rows((values < low) | (values > high))
    return StepColumn(target, values.astype(target.numpy), column.valid), unfit


def _unfit_rows(mask: Mask) -> Mask | None:
    return any_in_row(mask) if mask.any() else None
