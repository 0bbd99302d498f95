"""Columns of a table file as values of a feature: single values, categories or vectors.

A vector is a list of the file, of fixed size or not, or text such as `[1, 2.5, 3]` where the file
knows nothing else (CSV). A category is text, and becomes the place of its value in `values`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tailrace.features.typed_column import (
    WRONG_TYPE,
    Mask,
    TypedColumn,
    can_convert,
    cast_where_possible,
    filled,
    true_mask,
    typed_column,
)
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.feature_view import Feature

NOT_A_VALUE = "not one of its values"
WRONG_LENGTH = "wrong length"
NULL_ELEMENT = "null element"


def can_hold(source: Any, feature: Feature) -> bool:
    """Returns whether values of an Arrow type can be converted to a feature's at all."""
    if feature.values is not None:
        return can_convert(source, DType.STRING)
    if feature.length is None:
        return can_convert(source, feature.dtype)
    types = pa.types
    if types.is_null(source) or types.is_binary(source):
        return True
    return _is_list(source) and can_convert(source.value_type, feature.dtype)


def described(feature: Feature) -> str:
    """Returns the type of a feature in words."""
    if feature.length is not None:
        return f"a list of {feature.length} {feature.type}"
    return "text (a category)" if feature.values is not None else feature.type


def feature_column(array: Any, feature: Feature) -> TypedColumn:
    """Returns a column as values of a feature; those of vectors have the shape [rows, length].

    Args:
        array: an Arrow array of a type for which `can_hold` is true.
        feature: the feature.
    """
    if feature.values is not None:
        return _categories(array, feature.values)
    if feature.length is not None:
        return _vectors(array, feature.dtype, feature.length)
    return typed_column(array, feature.dtype)


def _categories(array: Any, values: list[str]) -> TypedColumn:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    nulls = true_mask(pc.is_null(array))
    texts, failed = cast_where_possible(array, pa.string())
    codes = pc.index_in(texts, value_set=pa.array(values, pa.string()))
    unknown = true_mask(pc.is_null(codes)) & ~nulls & ~failed
    bad = {reason: mask for reason, mask in ((WRONG_TYPE, failed), (NOT_A_VALUE, unknown))}
    return TypedColumn(filled(codes), nulls, {r: mask for r, mask in bad.items() if mask.any()})


def _vectors(array: Any, dtype: DType, length: int) -> TypedColumn:
    rows = len(array)
    nulls = true_mask(pc.is_null(array))
    values = np.zeros((rows, length), dtype.numpy)
    bad: dict[str, Mask] = {}
    if nulls.all():
        return TypedColumn(values, nulls, bad)
    lists, failed = _lists(array)
    lengths = filled(pc.cast(pc.list_value_length(lists), pa.int64()))
    wrong = ~nulls & ~failed & (lengths != length)
    sound = np.flatnonzero(~(nulls | failed | wrong))
    elements = typed_column(_elements(lists, sound), dtype)
    values[sound] = elements.values.reshape(-1, length)
    found = [(WRONG_TYPE, failed), (WRONG_LENGTH, wrong)]
    of_elements = {**elements.bad, NULL_ELEMENT: elements.nulls}
    for reason, mask in of_elements.items():
        found.append((reason, _rows_with(mask, sound, rows, length)))
    seen = np.zeros(rows, np.bool_)
    for reason, mask in found:
        told = mask & ~seen
        if told.any():
            bad[reason] = bad[reason] | told if reason in bad else told
            seen |= told
    values[seen] = 0
    return TypedColumn(values, nulls, bad)


def _lists(array: Any) -> tuple[Any, Mask]:
    """Returns an array of lists, and where a text was not one."""
    if _is_list(array.type):
        return array, np.zeros(len(array), np.bool_)
    texts, failed = cast_where_possible(array, pa.string())
    texts = pc.utf8_trim_whitespace(texts)
    is_list = true_mask(pc.match_substring_regex(texts, r"(?s)^\[.*\]$"))
    failed |= ~is_list & ~true_mask(pc.is_null(texts))
    lists = pc.split_pattern(pc.utf8_slice_codeunits(texts, 1, -1), ",")
    return lists, failed


def _elements(lists: Any, rows: NDArray[np.intp]) -> Any:
    """Returns the elements of the lists of some rows, one after the other."""
    if len(rows) < len(lists):
        lists = lists.take(pa.array(rows.tolist(), pa.int64()))
    elements = lists.flatten()
    if not pa.types.is_string(elements.type):
        return elements
    elements = pc.utf8_trim_whitespace(elements)
    is_null = pc.is_in(elements, pa.array(["null"]))
    return pc.if_else(is_null, pa.nulls(len(elements), pa.string()), elements)


def _rows_with(elements: Mask, sound: NDArray[np.intp], rows: int, length: int) -> Array:
    mask = np.zeros(rows, np.bool_)
    mask[sound] = elements.reshape(-1, length).any(axis=1)
    return mask


def _is_list(source: Any) -> bool:
    types = pa.types
    return bool(
        types.is_list(source) or types.is_large_list(source) or types.is_fixed_size_list(source)
    )
