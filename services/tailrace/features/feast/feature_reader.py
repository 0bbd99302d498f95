"""Reads the stored values of features as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tailrace.features.feast import stored_values as stored
from tailrace.features.feast.value_parser import US_PER_S, BadValue, parse_value
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.feature_view import Feature

Cells = Sequence[bytes | None]


@dataclass(slots=True, eq=False)
class FeatureColumn:
    """One feature of many rows.

    Attributes:
        values: of shape [rows], or [rows, length]; zero where there is none.
        present: bool [rows], where there is a value.
        problems: what is wrong with a row's value, by row.
    """

    values: Array
    present: NDArray[np.bool_]
    problems: dict[int, str]


class FeatureReader:
    """Reads values of one type and shape."""

    def __init__(self, feature: Feature) -> None:
        """Works out what they may be made of; all features alike may share a reader.

        Features of type category may not: their values differ.
        """
        self._feature = feature
        self._kinds = _stored_kinds(feature)
        self._codes = {text: code for code, text in enumerate(feature.values or ())}

    def read_all(self, cells: Cells) -> Array | None:
        """Returns values, [cells] or [cells, length], or None unless all are there and usual."""
        if not all(cells):
            return None
        return self._read(cast(Sequence[bytes], cells))

    def read_column(self, cells: Cells) -> FeatureColumn:
        """Returns one feature of rows, whatever is stored."""
        feature = self._feature
        values = np.zeros((len(cells), *feature.row_shape), feature.dtype.numpy)
        if feature.dtype is DType.STRING:
            values[...] = ""
        places = [place for place, cell in enumerate(cells) if cell]
        parts = [cell for cell in cells if cell]
        column = FeatureColumn(values, np.zeros(len(cells), np.bool_), {})
        usual = self._read(parts) if parts else None
        if usual is not None:
            values[places] = usual
            column.present[places] = True
            return column
        for place, part in zip(places, parts, strict=True):
            try:
                value = parse_value(part, feature)
            except BadValue as error:
                column.problems[place] = str(error)
                continue
            if value is not None:
                values[place] = value
                column.present[place] = True
        return column

    def _read(self, parts: Sequence[bytes]) -> Array | None:
        for kind in self._kinds:
            values = kind.read(parts)
            if values is not None:
                return self._typed(values)
        return None

    def _typed(self, values: Array) -> Array | None:
        dtype = self._feature.dtype
        if self._feature.values is not None:
            codes = [self._codes.get(text) for text in values]
            return None if None in codes else np.array(codes, dtype.numpy)
        if dtype is DType.TIMESTAMP:
            # Those out of range, and the least number, which stands for none, are rare.
            if (np.abs(values) > _LONGEST_S).any() or (values == np.iinfo(np.int64).min).any():
                return None
            return values * US_PER_S
        return values if values.dtype == dtype.numpy else values.astype(dtype.numpy)


_LONGEST_S = 2**43 - 1
"""Seconds that certainly fit into int64 microseconds; some 278,000 years."""


def _stored_kinds(feature: Feature) -> tuple[stored.StoredValues, ...]:
    fixed, varint, length = stored.FixedValues, stored.VarintValues, feature.length
    if feature.dtype is DType.STRING or feature.values is not None:
        return (stored.ShortTexts(),)
    if feature.dtype is DType.TIMESTAMP:
        return (varint(stored.UNIX_TIMESTAMP),)
    if feature.dtype is DType.BOOL:
        return (fixed(stored.BOOL if length is None else stored.BOOL_LIST, "u1", length),)
    if feature.dtype is DType.INT64:
        # Lists of integers have no bytes in fixed places.
        return (varint(stored.INT64), varint(stored.INT32)) if length is None else ()
    single = fixed(stored.FLOAT if length is None else stored.FLOAT_LIST, "<f4", length)
    if feature.dtype is DType.FLOAT32:
        return (single,)
    return (fixed(stored.DOUBLE if length is None else stored.DOUBLE_LIST, "<f8", length), single)
