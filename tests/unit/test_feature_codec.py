"""The binary row format: what goes in comes out, and what is corrupt is told, not read."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.features.codec import FORMAT_VERSION, HEADER_BYTES, DecodedRows, RowCodec
from tailrace.features.row_schema import row_schema
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.feature_view import FeatureView

CATEGORIES = ["red", "green", "blue"]
MICROSECONDS = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "timestamp": MICROSECONDS,
    "category": st.integers(0, len(CATEGORIES) - 1),
}
VECTORS = ("float32", "float64", "int64", "bool")
TYPES = (*VALUES, *(f"{name}[{length}]" for name in VECTORS for length in (1, 3)))


def feature_of(name: str, type_name: str) -> dict[str, Any]:
    """Returns a feature of a type such as `int64`, or `int64[3]` for a vector."""
    scalar, _, length = type_name.rstrip("]").partition("[")
    feature: dict[str, Any] = {"name": name, "type": scalar}
    if length:
        feature["length"] = int(length)
    if scalar == "category":
        feature["values"] = CATEGORIES
    return feature


def values_of(type_name: str) -> st.SearchStrategy[Any]:
    scalar, _, length = type_name.rstrip("]").partition("[")
    values = VALUES[scalar]
    return st.lists(values, min_size=int(length), max_size=int(length)) if length else values


def view_of(*types: str, keys: list[dict[str, str]] | None = None) -> FeatureView:
    return FeatureView.model_validate(
        {
            "view": "v",
            "entity": "e",
            "keys": keys or [{"name": "k"}],
            "features": [feature_of(f"f{i}", name) for i, name in enumerate(types)],
        }
    )


def encode(view: FeatureView, table: list[list[Any]], as_of: list[int]) -> list[bytes]:
    columns: dict[str, Array] = {}
    validity: dict[str, Array] = {}
    for place, feature in enumerate(view.features):
        cells = [row[place] for row in table]
        filled = np.empty((len(cells), *feature.row_shape), feature.dtype.numpy)
        zero: Any = "" if feature.dtype is DType.STRING else 0
        for row, cell in enumerate(cells):
            filled[row] = zero if cell is None else cell
        columns[feature.name] = filled
        if any(cell is None for cell in cells):
            validity[feature.name] = np.array([cell is not None for cell in cells])
    return RowCodec(row_schema(view)).encode(columns, validity, np.array(as_of, np.int64))


def cells_of(view: FeatureView, decoded: DecodedRows) -> list[list[Any]]:
    """Returns what was decoded as rows of values in declared order, None where null."""
    schema = row_schema(view)
    columns: dict[str, list[Any]] = {}
    for group, values in zip(schema.groups, decoded.values, strict=True):
        assert values.shape == (len(group.names), len(decoded.as_of_us), *group.row_shape)
        assert values.dtype == group.dtype.numpy
        for place, name in enumerate(group.names):
            cells = values[place].tolist()
            if decoded.validity is not None:
                valid = decoded.validity[group.start + place].tolist()
                cells = [cell if kept else None for cell, kept in zip(cells, valid, strict=True)]
            columns[name] = cells
    return [list(row) for row in zip(*[columns[f.name] for f in view.features], strict=True)]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other) and type(one) is type(other)


@st.composite
def views_with_rows(draw: st.DrawFn) -> tuple[FeatureView, list[list[Any]], list[int]]:
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=20))
    cells = st.tuples(*[st.none() | values_of(name) for name in types]).map(list)
    table = draw(st.lists(cells, min_size=1, max_size=6))
    as_of = st.lists(MICROSECONDS, min_size=len(table), max_size=len(table))
    return view_of(*types), table, draw(as_of)


@settings(max_examples=200, deadline=None)
@given(views_with_rows())
def test_rows_come_back_as_they_went_in(
    case: tuple[FeatureView, list[list[Any]], list[int]],
) -> None:
    view, table, as_of = case
    decoded = RowCodec(row_schema(view)).decode(encode(view, table, as_of))
    assert not decoded.corrupt
    assert decoded.as_of_us.tolist() == as_of
    for row, expected in zip(cells_of(view, decoded), table, strict=True):
        assert all(same(*pair) for pair in zip(row, expected, strict=True)), (row, expected)


@settings(max_examples=300, deadline=None)
@given(views_with_rows(), st.data())
def test_no_bytes_whatever_break_the_other_rows(
    case: tuple[FeatureView, list[list[Any]], list[int]], data: st.DataObject
) -> None:
    view, table, as_of = case
    rows = encode(view, table, as_of)
    victim = data.draw(st.integers(0, len(rows) - 1))
    mangled = bytearray(rows[victim])
    place = data.draw(st.integers(0, len(mangled) - 1))
    mangled[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(mangled)))
    rows[victim] = data.draw(st.sampled_from([bytes(mangled), bytes(mangled[:cut]), b""]))
    decoded = RowCodec(row_schema(view)).decode(rows)
    assert set(decoded.corrupt) <= {victim}
    cells = cells_of(view, decoded)
    for row in set(range(len(rows))) - {victim}:
        assert decoded.as_of_us[row] == as_of[row]
        assert all(same(*pair) for pair in zip(cells[row], table[row], strict=True))


def test_the_layout_is_the_documented_one() -> None:
    view = view_of("string", "bool", "float32", "int64", "float64", "string")
    (row,) = encode(view, [["é", True, 1.5, -2, 2.5, None]], [77])
    expected = struct.pack("<BxxxIq", FORMAT_VERSION, row_schema(view).schema_id, 77)
    expected += bytes([0b011111])  # f64, i64, f32, bool, and the first of two strings
    expected += struct.pack("<dqf?II", 2.5, -2, 1.5, True, 2, 2) + "é".encode()
    assert row == expected


def test_the_layout_of_further_types_is_the_documented_one() -> None:
    view = view_of("string", "float32[2]", "bool", "category", "bool[2]", "timestamp", "float32")
    row = ["é", [1.5, 2.5], True, 2, [False, True], 99, 0.5]
    (stored,) = encode(view, [row], [77])
    expected = struct.pack("<BxxxIq", FORMAT_VERSION, row_schema(view).schema_id, 77)
    expected += bytes([0b1111111])
    expected += struct.pack("<qfi?ff??I", 99, 0.5, 2, True, 1.5, 2.5, False, True, 2)
    assert stored == expected + "é".encode()


def test_a_null_is_stored_as_zero_so_that_equal_rows_have_equal_bytes() -> None:
    view = view_of("float64", "int64")
    codec = RowCodec(row_schema(view))
    columns = {"f0": np.array([9.0, 1.0]), "f1": np.array([5, 5])}
    validity = {"f0": np.array([False, True])}
    rows = codec.encode(columns, validity, np.array([0, 0]))
    assert rows[0] == encode(view, [[None, 5]], [0])[0]


@pytest.mark.parametrize(
    ("mangle", "problem"),
    [
        (lambda row: b"", "0 bytes, too few for a header"),
        (lambda row: row[: HEADER_BYTES - 1], "too few for a header"),
        (lambda row: bytes([2]) + row[1:], "format version 2, expected 1"),
        (lambda row: row[:4] + bytes([row[4] ^ 1]) + row[5:], "schema"),
        (lambda row: row[:-1], "bytes, expected"),
        (lambda row: row + b"x", "bytes, expected"),
        (lambda row: row[:1] + b"\1" + row[2:], "contradict the format"),
        (lambda row: row[:16] + b"\xff" + row[17:], "contradict the format"),
        (lambda row: row[:-1] + b"\2", "contradict the format"),
    ],
    ids=["empty", "header", "version", "schema", "short", "long", "reserved", "bitmap", "bool"],
)
def test_a_corrupt_row_is_told_and_the_others_are_read(mangle: Any, problem: str) -> None:
    view = view_of("float32", "bool")
    rows = encode(view, [[1.5, True], [2.5, False], [3.5, True]], [1, 2, 3])
    rows[1] = mangle(rows[1])
    decoded = RowCodec(row_schema(view)).decode(rows)
    assert list(decoded.corrupt) == [1]
    assert problem in decoded.corrupt[1]
    cells = cells_of(view, decoded)
    assert cells[0] == [1.5, True]
    assert cells[1] == [None, None]
    assert cells[2] == [3.5, True]


@pytest.mark.parametrize(
    ("ends", "heap"),
    [((3, 2), b"abc"), ((1, 4), b"abc"), ((1, 2), b"abc"), ((1, 2), b"\xff\xfe")],
    ids=["decreasing", "beyond the heap", "heap too long", "not UTF-8"],
)
def test_strings_that_do_not_fit_their_heap_are_corrupt(ends: tuple[int, int], heap: bytes) -> None:
    view = view_of("string", "string")
    sound = encode(view, [["ab", "c"]], [0])[0]
    row = sound[:17] + struct.pack("<II", *ends) + heap
    decoded = RowCodec(row_schema(view)).decode([sound, row])
    assert list(decoded.corrupt) == [1]
    assert cells_of(view, decoded)[0] == ["ab", "c"]


def test_the_schema_id_is_stable() -> None:
    # Stored rows outlive this process: the number may never change for the same view.
    assert row_schema(view_of("float32", "string")).schema_id == 0xD2BDEF50
    rich = view_of("float32[3]", "category", "timestamp")
    assert row_schema(rich).schema_id == 0xF4182AFA


@pytest.mark.parametrize("types", [("float32[4]",), ("float32",), ("float64[3]",)])
def test_vectors_of_another_length_or_type_have_another_schema(types: tuple[str, ...]) -> None:
    assert row_schema(view_of(*types)).schema_id != row_schema(view_of("float32[3]")).schema_id


@pytest.mark.parametrize("values", [["red", "green"], ["green", "red", "blue"], [*CATEGORIES, "x"]])
def test_other_values_of_a_category_are_another_schema(values: list[str]) -> None:
    view = view_of("category")
    other = view.features[0].model_copy(update={"values": values})
    changed = view.model_copy(update={"features": [other]})
    assert row_schema(changed).schema_id != row_schema(view).schema_id


@pytest.mark.parametrize("code", [-1, 3, 2**31 - 1, -(2**31)])
def test_a_category_without_such_a_value_is_corrupt(code: int) -> None:
    view = view_of("category", "category")
    rows = encode(view, [[0, 2], [2, 0]], [1, 2])
    rows[0] = rows[0][:-4] + struct.pack("<i", code)
    decoded = RowCodec(row_schema(view)).decode(rows)
    assert list(decoded.corrupt) == [0]
    assert cells_of(view, decoded)[1] == [2, 0]


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_bool_vector_holds_zeros_and_ones_only(place: int) -> None:
    view = view_of("bool[3]")
    rows = encode(view, [[[True] * 3], [[False, True, False]]], [1, 2])
    mangled = bytearray(rows[0])
    mangled[-place] = 255
    decoded = RowCodec(row_schema(view)).decode([bytes(mangled), rows[1]])
    assert list(decoded.corrupt) == [0]
    assert cells_of(view, decoded)[1] == [[False, True, False]]


@pytest.mark.parametrize(
    "other",
    [
        view_of("string", "float32"),
        view_of("float32"),
        view_of("float64", "string"),
        view_of("float32", "string", keys=[{"name": "k", "type": "int64"}]),
        view_of("float32", "string", keys=[{"name": "other"}]),
    ],
    ids=["order", "number", "type", "key type", "key name"],
)
def test_another_schema_has_another_id(other: FeatureView) -> None:
    assert row_schema(other).schema_id != row_schema(view_of("float32", "string")).schema_id


def test_a_description_or_default_does_not_change_the_schema() -> None:
    view = view_of("float32")
    described = view.model_copy(
        update={"features": [view.features[0].model_copy(update={"description": "d"})]}
    )
    assert row_schema(view).schema_id == row_schema(described).schema_id
