"""Columns of files become typed values, and the values that do not fit are told apart."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.features.typed_column import OUT_OF_RANGE, WRONG_TYPE, can_convert, typed_column
from tailrace.runtime.columns import DType

INT, F32, F64 = DType.INT64, DType.FLOAT32, DType.FLOAT64
UTC = datetime.UTC
DAY_US = 86_400_000_000


def text(*values: str | bytes | None) -> Any:
    """Returns a column as a CSV file has it."""
    cells = [value.encode() if isinstance(value, str) else value for value in values]
    return pa.array(cells, pa.binary())


@pytest.mark.parametrize(
    ("column", "dtype", "expected"),
    [
        (pa.array([1, -2, 3], pa.int8()), INT, [1, -2, 3]),
        (pa.array([1.0, -2.0]), INT, [1, -2]),
        (pa.array([decimal.Decimal("7.00")]), INT, [7]),
        (pa.array([2**60 + 1]), F64, [float(2**60 + 1)]),
        (pa.array([1, 2], pa.uint64()), F32, [1.0, 2.0]),
        (pa.array([1.5], pa.float32()), F64, [1.5]),
        (pa.array([math.inf, -math.inf]), F32, [math.inf, -math.inf]),
        (pa.array([1, 0]), DType.BOOL, [True, False]),
        (pa.array([True, False]), DType.BOOL, [True, False]),
        (pa.array(["a", ""]), DType.STRING, ["a", ""]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), DType.STRING, ["a", "b", "a"]),
        (pa.array(["a"], pa.large_string()), DType.STRING, ["a"]),
        (pa.array([1], pa.timestamp("s")), DType.TIMESTAMP, [1_000_000]),
        (pa.array([1999], pa.timestamp("ns", "America/New_York")), DType.TIMESTAMP, [1]),
        (pa.array([datetime.date(1970, 1, 2)]), DType.TIMESTAMP, [DAY_US]),
        (pa.array([123]), DType.TIMESTAMP, [123]),
        (text("12", "-7"), INT, [12, -7]),
        (text("1e3", "-0.5", "inf"), F32, [1000.0, -0.5, math.inf]),
        (text("true", "FALSE", "1", "0"), DType.BOOL, [True, False, True, False]),
        (text("", "ü"), DType.STRING, ["", "ü"]),
        (text("1970-01-02", "1970-01-02T00:00:00.000001"), DType.TIMESTAMP, [DAY_US, DAY_US + 1]),
        (
            text("1970-01-01T01:00:00+01:00", "1970-01-01 00:00:00Z", "1970-01-01"),
            DType.TIMESTAMP,
            [0, 0, 0],
        ),
    ],
)
def test_values_that_fit_are_converted(column: Any, dtype: DType, expected: list[Any]) -> None:
    assert can_convert(column.type, dtype)
    typed = typed_column(column, dtype)
    assert typed.values.dtype == dtype.numpy
    assert typed.values.tolist() == expected
    assert not typed.bad
    assert not typed.nulls.any()


@pytest.mark.parametrize(
    ("column", "dtype", "reason"),
    [
        (pa.array([1.5, 1.0]), INT, WRONG_TYPE),
        (pa.array([math.nan, 1.0]), INT, WRONG_TYPE),
        (pa.array([1e300, 1.0]), INT, OUT_OF_RANGE),
        (pa.array([2**63, 1], pa.uint64()), INT, OUT_OF_RANGE),
        (pa.array([1e39, 1.0]), F32, OUT_OF_RANGE),
        (pa.array([2, 1]), DType.BOOL, OUT_OF_RANGE),
        (pa.array([10**15, 1], pa.timestamp("s")), DType.TIMESTAMP, OUT_OF_RANGE),
        (text("x", "1"), INT, WRONG_TYPE),
        (text("1.5", "1"), INT, WRONG_TYPE),
        (text("9" * 30, "1"), INT, OUT_OF_RANGE),
        (text("-" + "9" * 30, "1"), INT, OUT_OF_RANGE),
        (text("x", "1"), F32, WRONG_TYPE),
        (text("1e39", "1"), F32, OUT_OF_RANGE),
        (text("1e400", "1"), F64, OUT_OF_RANGE),
        (text("yes", "1"), DType.BOOL, WRONG_TYPE),
        (text("2", "1"), DType.BOOL, WRONG_TYPE),
        (text("yesterday", "1970-01-01"), DType.TIMESTAMP, WRONG_TYPE),
        (text(b"\xff", "a"), DType.STRING, WRONG_TYPE),
        (text(b"\xff", "1"), INT, WRONG_TYPE),
    ],
)
def test_a_value_that_does_not_fit_is_bad_and_the_next_one_is_not(
    column: Any, dtype: DType, reason: str
) -> None:
    typed = typed_column(column, dtype)
    assert {name: mask.tolist() for name, mask in typed.bad.items()} == {reason: [True, False]}
    assert not typed.nulls.any()
    assert typed.values[1] == (typed_column(column[1:], dtype)).values[0]


@pytest.mark.parametrize("dtype", [INT, F32, F64, DType.BOOL, DType.STRING, DType.TIMESTAMP])
@pytest.mark.parametrize("column", [text(None, "1"), pa.nulls(2)], ids=["text", "null type"])
def test_nulls_are_neither_values_nor_bad(dtype: DType, column: Any) -> None:
    typed = typed_column(column, dtype)
    assert typed.nulls[0]
    assert not any(mask[0] for mask in typed.bad.values())
    assert typed.values[0] == ("" if dtype is DType.STRING else 0)


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        (pa.int64(), DType.STRING),
        (pa.string(), INT),
        (pa.string(), F32),
        (pa.float64(), DType.BOOL),
        (pa.bool_(), INT),
        (pa.float64(), DType.TIMESTAMP),
        (pa.list_(pa.int64()), INT),
    ],
)
def test_columns_of_another_kind_are_refused_whole(source: pa.DataType, dtype: DType) -> None:
    assert not can_convert(source, dtype)


@given(st.lists(st.integers(-5, 5).map(str) | st.just("x"), min_size=1, max_size=50))
def test_exactly_the_bad_values_are_found(cells: list[str]) -> None:
    typed = typed_column(text(*cells), INT)
    bad = typed.bad.get(WRONG_TYPE, np.zeros(len(cells), np.bool_))
    assert bad.tolist() == [cell == "x" for cell in cells]
    assert typed.values.tolist() == [0 if cell == "x" else int(cell) for cell in cells]
