"""Columns of a table file as values of a declared type, with the rows that do not fit told apart.

What is converted: integers, floats and decimals into each other where no digits before the
point are lost; 0 and 1 into booleans; dates and instants into instants, those without a zone
as UTC; whole numbers into instants as microseconds since 1970; and text, where the file knows
nothing else (CSV), into anything, in the forms that Apache Arrow reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tailrace.runtime.columns import Array, DType

Mask = NDArray[np.bool_]

WRONG_TYPE = "wrong type"
OUT_OF_RANGE = "out of range"

# Arrow imports pandas, where there is one, to make a scalar of a Python value or a numpy array
# with `to_numpy`; that takes longer than a load. `from_dlpack` does without.
_FALSE: Any = pa.nulls(1).is_valid()[0]

_ARROW: dict[DType, pa.DataType] = {
    DType.STRING: pa.string(),
    DType.BOOL: pa.bool_(),
    DType.INT64: pa.int64(),
    DType.FLOAT32: pa.float64(),  # narrowed by us, as Arrow turns what is too large into infinity
    DType.FLOAT64: pa.float64(),
    DType.TIMESTAMP: pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """One column of one batch of a file.

    Attributes:
        values: numpy [rows] of the declared type, [rows, length] for vectors; zero or empty where
            null or bad.
        nulls: bool [rows].
        bad: bool [rows] by reason; a row is bad for one reason at most, and then not null.
    """

    values: Array
    nulls: Mask
    bad: dict[str, Mask]


def can_convert(source: pa.DataType, dtype: DType) -> bool:
    """Returns whether values of an Arrow type can be converted at all."""
    if pa.types.is_dictionary(source):
        source = source.value_type
    types = pa.types
    if types.is_null(source) or types.is_binary(source):
        return True  # binary: a column of a CSV file, which may hold anything
    is_text = types.is_string(source) or types.is_large_string(source)
    is_number = types.is_integer(source) or types.is_floating(source) or types.is_decimal(source)
    if dtype is DType.STRING:
        return is_text
    if dtype is DType.BOOL:
        return types.is_boolean(source) or types.is_integer(source)
    if dtype is DType.TIMESTAMP:
        is_instant = types.is_timestamp(source) or types.is_date(source)
        return is_instant or types.is_integer(source)
    return is_number


def typed_column(array: Any, dtype: DType) -> TypedColumn:
    """Returns a column as values of `dtype`.

    Args:
        array: an Arrow array of a type for which `can_convert` is true.
        dtype: string, bool, int64, float32, float64 or timestamp.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    nulls = true_mask(pc.is_null(array))
    bad: dict[str, Mask] = {}
    if pa.types.is_binary(array.type):
        array, failed = cast_where_possible(array, pa.string())
        _add(bad, WRONG_TYPE, failed)
    is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    converted, failed = _convert(array, dtype, is_text)
    overflow = failed & _looks_like_number(array, dtype)
    values = _to_numpy(converted, dtype)
    if dtype in (DType.FLOAT32, DType.FLOAT64):
        values, infinite = _narrow(values, dtype, array if is_text else None)
        overflow |= infinite
        values = np.where(infinite, dtype.numpy.type(0), values)
    if dtype is DType.BOOL and not is_text:
        overflow |= _not_zero_or_one(array)
    _add(bad, WRONG_TYPE, failed & ~overflow)
    _add(bad, OUT_OF_RANGE, overflow)
    return TypedColumn(values, nulls, bad)


def _convert(array: Any, dtype: DType, is_text: bool) -> tuple[Any, Mask]:
    target = _ARROW[dtype]
    source = array.type
    if dtype is DType.TIMESTAMP and is_text:
        return _text_to_instants(array)
    if dtype is DType.TIMESTAMP and pa.types.is_timestamp(source):
        # What is finer than a microsecond is cut off.
        return cast_where_possible(array, target, safe=source.unit != "ns")
    if pa.types.is_floating(target) and not is_text:
        return cast_where_possible(array, target, safe=False)
    return cast_where_possible(array, target)


def cast_where_possible(array: Any, target: pa.DataType, *, safe: bool = True) -> tuple[Any, Mask]:
    """Returns the array as another type, null where that fails, and where it fails.

    Arrow says that a value cannot be converted, but not which: halving finds it.
    """
    try:
        return pc.cast(array, target, safe=safe), np.zeros(len(array), np.bool_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(array) == 1:
            return pa.array([None], target), np.ones(1, np.bool_)
    half = len(array) // 2
    first, first_failed = cast_where_possible(array[:half], target, safe=safe)
    second, second_failed = cast_where_possible(array[half:], target, safe=safe)
    return pa.concat_arrays([first, second]), np.concatenate([first_failed, second_failed])


def _text_to_instants(array: Any) -> tuple[Any, Mask]:
    # Arrow reads text with a zone and text without one as two types.
    target = _ARROW[DType.TIMESTAMP]
    zoned, failed = cast_where_possible(array, target)
    if not failed.any():
        return zoned, failed
    local, failed_too = cast_where_possible(array, pa.timestamp("us"))
    both = pc.if_else(pa.array(failed), pc.cast(local, target), zoned)
    return both, failed & failed_too


def _narrow(values: Array, dtype: DType, text: Any) -> tuple[Array, Mask]:
    """Returns the values in their own width, and where a finite one became infinite."""
    with np.errstate(over="ignore"):
        narrowed = values.astype(dtype.numpy)
    infinite = np.isinf(narrowed)
    if text is None or not infinite.any():
        return narrowed, infinite & np.isfinite(values)
    said_so = true_mask(pc.match_substring_regex(text, "(?i)inf"))
    return narrowed, infinite & ~said_so


def _looks_like_number(array: Any, dtype: DType) -> Mask:
    """Returns where a value that could not be converted is a number, but one too large."""
    types = pa.types
    if types.is_string(array.type) or types.is_large_string(array.type):
        if dtype is not DType.INT64:
            return np.zeros(len(array), np.bool_)
        return true_mask(pc.match_substring_regex(array, r"^-?\d+$"))
    if types.is_floating(array.type) or types.is_decimal(array.type):
        return true_mask(pc.equal(pc.floor(array), array))
    return np.ones(len(array), np.bool_)


def _not_zero_or_one(array: Any) -> Mask:
    if not pa.types.is_integer(array.type):
        return np.zeros(len(array), np.bool_)
    return true_mask(pc.invert(pc.is_in(array, pa.array([0, 1], array.type)))) & ~true_mask(
        pc.is_null(array)
    )


def _to_numpy(array: Any, dtype: DType) -> Array:
    """Returns the values, zero or empty where null."""
    if dtype is DType.STRING:
        strings = np.empty(len(array), object)
        strings[:] = [text or "" for text in array.to_pylist()]
        return strings
    if dtype is DType.TIMESTAMP:
        array = pc.cast(array, pa.int64())
    if dtype is DType.BOOL:
        return true_mask(array)
    return filled(array)


def _add(bad: dict[str, Mask], reason: str, rows: Mask) -> None:
    if rows.any():
        bad[reason] = bad[reason] | rows if reason in bad else rows


def filled(array: Any) -> Array:
    """Returns an Arrow array of numbers with zero in place of null."""
    values: Array = np.from_dlpack(pc.fill_null(array, _FALSE.cast(array.type)))
    return values


def true_mask(array: Any) -> Mask:
    """Returns an Arrow array of booleans with false in place of null."""
    mask: Mask = np.from_dlpack(pc.cast(pc.fill_null(array, _FALSE), pa.uint8())) != 0
    return mask
