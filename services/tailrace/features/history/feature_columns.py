"""Values as the columns of a training set, in the types that features declare."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from tailrace.features.history.window_values import WindowValues
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature import Feature

Column: TypeAlias = "pa.Array[Any]"

ARROW_TYPES: dict[DType, pa.DataType] = {
    DType.FLOAT32: pa.float32(),
    DType.FLOAT64: pa.float64(),
    DType.INT32: pa.int32(),
    DType.INT64: pa.int64(),
    DType.BOOL: pa.bool_(),
    DType.STRING: pa.string(),
    DType.TIMESTAMP: pa.timestamp("us", "UTC"),
}
# 2^63 itself is beyond; the float64 before it is this.
_GREATEST = {
    DType.FLOAT32: float(np.finfo(np.float32).max),
    DType.INT64: 9_223_372_036_854_774_784.0,
    DType.TIMESTAMP: 9_223_372_036_854_774_784.0,
}
# Of nothing, these have the value 0.
_ZERO_OF_NOTHING = ("count", "sum", "distinct")


def windowed_column(feature: Feature, place: int, values: WindowValues) -> Column:
    """Returns a windowed feature's column; its default stands in where there is no value.

    Whole numbers and instants are rounded to the nearest, and booleans are whether the value is
    not 0. What is beyond the type, as a sum that is infinite, is no value.

    Args:
        feature: the feature.
        place: of the feature in its view.
        values: of the view.
    """
    assert feature.aggregate is not None, "the view is windowed"
    found = values.values[place]
    present = values.present[place]
    if feature.aggregate.function in _ZERO_OF_NOTHING:
        present = values.events > 0
    dtype = feature.dtype
    present = present & (np.abs(found) <= _GREATEST.get(dtype, np.inf)) & np.isfinite(found)
    found = np.where(present, found, 0.0)
    if dtype in (DType.INT64, DType.TIMESTAMP):
        found = np.rint(found)
    typed = found != 0 if dtype is DType.BOOL else found.astype(dtype.numpy)
    filled = np.where(present, typed, np.array(feature.default_value, typed.dtype))
    column: Column = pa.array(filled)
    return column.cast(ARROW_TYPES[dtype])
