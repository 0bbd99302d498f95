"""Columns of files become categories and vectors; what does not fit is told apart, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.features.feature_column import (
    NOT_A_VALUE,
    NULL_ELEMENT,
    WRONG_LENGTH,
    can_hold,
    feature_column,
)
from tailrace.features.typed_column import OUT_OF_RANGE, WRONG_TYPE
from tailrace.runtime.pipeline.feature_view import Feature

COLOUR = Feature(name="colour", type="category", values=["red", "green"])


def vector(type_name: str, length: int) -> Feature:
    return Feature.model_validate({"name": "v", "type": type_name, "length": length})


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["green", None, "red"]),
        pa.array(["green", None, "red"], pa.large_string()),
        pa.array(["green", None, "red"]).dictionary_encode(),
        pa.array([b"green", None, b"red"]),
    ],
    ids=["text", "large text", "dictionary", "CSV"],
)
def test_a_category_is_the_place_of_its_value(column: Any) -> None:
    assert can_hold(column.type, COLOUR)
    typed = feature_column(column, COLOUR)
    assert typed.values.dtype == np.int32
    assert typed.values.tolist() == [1, 0, 0]
    assert typed.nulls.tolist() == [False, True, False]
    assert not typed.bad


def test_text_that_is_no_value_of_the_category_is_bad() -> None:
    typed = feature_column(pa.array([b"Green", b"red", b"", b"\xff"]), COLOUR)
    bad = {reason: mask.tolist() for reason, mask in typed.bad.items()}
    assert bad == {
        NOT_A_VALUE: [True, False, True, False],
        WRONG_TYPE: [False, False, False, True],
    }


@pytest.mark.parametrize(
    ("column", "feature", "expected"),
    [
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), vector("int64", 2), [[1, 2], [0, 0]]),
        (pa.array([[1, 2], None], pa.list_(pa.int64())), vector("float32", 2), [[1, 2], [0, 0]]),
        (pa.array([[1.5], None], pa.large_list(pa.float64())), vector("float64", 1), [[1.5], [0]]),
        (pa.array([[1, 0], None], pa.list_(pa.int8())), vector("bool", 2), [[1, 0], [0, 0]]),
        (pa.array([b"[1,\t-2 ]\n", None]), vector("int64", 2), [[1, -2], [0, 0]]),
        (pa.array([b"[true,0]", None]), vector("bool", 2), [[True, False], [False, False]]),
        (pa.array([b"[1e3,inf]", None]), vector("float32", 2), [[1000, math.inf], [0, 0]]),
        (pa.nulls(2), vector("float32", 2), [[0, 0], [0, 0]]),
        (pa.array([None, None], pa.list_(pa.int8(), 2)), vector("int64", 2), [[0, 0], [0, 0]]),
    ],
)  # fmt: skip
def test_lists_and_text_become_vectors(column: Any, feature: Feature, expected: Any) -> None:
    assert can_hold(column.type, feature)
    typed = feature_column(column, feature)
    assert typed.values.dtype == feature.dtype.numpy
    assert typed.values.tolist() == expected
    assert typed.nulls[1]
    assert not typed.bad


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ([1.0], WRONG_LENGTH),
        ([], WRONG_LENGTH),
        ([1.0, None], NULL_ELEMENT),
        ([1e39, 0.0], OUT_OF_RANGE),
        (b"1,2", WRONG_TYPE),
        (b"[1,2", WRONG_TYPE),
        (b"[]", WRONG_LENGTH),
        (b"[1,null]", NULL_ELEMENT),
        (b"[1,]", WRONG_TYPE),
        (b"[1,2,3]", WRONG_LENGTH),
        (b"[\xff,1]", WRONG_TYPE),
        (b"[1,1e39]", OUT_OF_RANGE),
        (b"[null,1e39]", OUT_OF_RANGE),
    ],
)
def test_a_vector_that_does_not_fit_is_bad_for_one_reason(cell: Any, reason: str) -> None:
    good: Any = b"[1,2]" if isinstance(cell, bytes) else [1.0, 2.0]
    column: Any = pa.array([good, cell, None, good])
    typed = feature_column(column, vector("float32", 2))
    assert {name: mask.tolist() for name, mask in typed.bad.items()} == {
        reason: [False, True, False, False]
    }
    assert typed.values.tolist() == [[1, 2], [0, 0], [0, 0], [1, 2]]


@pytest.mark.parametrize(
    ("source", "feature"),
    [
        (pa.int64(), COLOUR),
        (pa.list_(pa.string()), COLOUR),
        (pa.float32(), vector("float32", 2)),
        (pa.string(), vector("float32", 2)),
        (pa.list_(pa.string()), vector("float32", 2)),
        (pa.list_(pa.list_(pa.float32())), vector("float32", 2)),
        (pa.list_(pa.float32()), Feature(name="a", type="float32")),
    ],
)
def test_columns_of_another_kind_are_refused_whole(source: pa.DataType, feature: Feature) -> None:
    assert not can_hold(source, feature)


@given(st.lists(st.none() | st.lists(st.integers(-5, 5) | st.none(), max_size=3), min_size=1))
def test_lists_and_their_text_are_read_alike(cells: list[list[int | None] | None]) -> None:
    feature = vector("int64", 2)
    as_text = [None if cell is None else str(cell).replace("None", "null") for cell in cells]
    read = feature_column(pa.array(cells, pa.list_(pa.int64())), feature)
    from_text = feature_column(
        pa.array([text and text.encode() for text in as_text], pa.binary()), feature
    )
    assert read.values.tolist() == from_text.values.tolist()
    assert read.nulls.tolist() == from_text.nulls.tolist()
    assert {reason: mask.tolist() for reason, mask in read.bad.items()} == {
        reason: mask.tolist() for reason, mask in from_text.bad.items()
    }
    for row, cell in enumerate(cells):
        good = cell is not None and len(cell) == 2 and None not in cell
        assert read.values[row].tolist() == (cell if good else [0, 0])
        assert any(mask[row] for mask in read.bad.values()) == (cell is not None and not good)
