"""Keys and fields are named as Feast names them, and values read as Feast reads them."""

from __future__ import annotations

from typing import Any

import hiredis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from tailrace.features.entity_key import KeyEncoder
from tailrace.features.feast.entity_key import FeastKeys
from tailrace.features.feast.feature_reader import FeatureReader
from tailrace.features.feast.field_name import feature_field
from tailrace.features.feast.hash_reads import HashReads
from tailrace.features.feast.value_parser import BadValue, parse_value
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import Feature, FeatureView
from tailrace.v1.feast_value_pb2 import FeastValue
from tests.support.feast_process import FeastProcess

NAMES = [
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "abcde",
    "view:feature",
    "größe:Wert-1",
    "日本:値",
    "x" * 999,
]
KEYS: list[tuple[dict[str, str], list[Any]]] = [
    ({"id": "string"}, ["", "a|b\\c", "größe", "x" * 300]),
    ({"id": "int64"}, [0, -1, 2**63 - 1, -(2**63)]),
    ({"z": "string", "a": "int64"}, [("", 0), ("p|q", -5), ("\\|", 7), ("\\\\", 1), ("|", 1)]),
    ({"b": "string", "a": "string"}, [("", ""), ("|\\", "\\|"), ("x", ""), ("", "y\n|")]),
    ({"b": "string", "a": "int64", "c": "string"}, [("", -1, "|"), ("\\", 2**40, "\\")]),
]
KIND = {"string": "stringVal", "int64": "int64Val"}


def feast_view(keys: dict[str, str], **parts: Any) -> FeatureView:
    return FeatureView.model_validate(
        {
            "view": "v",
            "entity": "e",
            "keys": [{"name": name, "type": kind} for name, kind in keys.items()],
            "features": [{"name": "x", "type": "float64"}],
            "source": {"type": "feast", "project": "shop", "feature_view": "f", **parts},
        }
    )


def our_keys(view: FeatureView, rows: list[Any]) -> list[bytes | None]:
    columns = []
    for place, key in enumerate(view.keys):
        cells = [row[place] if isinstance(row, tuple) else row for row in rows]
        column = np.empty(len(rows), key.dtype.numpy)
        column[:] = cells
        columns.append(column)
    assert view.source is not None and view.source.type == "feast"
    keys = FeastKeys(view, view.source)
    return [keys.encode(text) for text in KeyEncoder(view.keys).encode(columns)]


def test_feast_is_recent(feast_process: FeastProcess, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nFeast {feast_process.version}")
    assert Version(feast_process.version) >= Version("0.67")


def test_fields_are_feasts(feast_process: FeastProcess) -> None:
    names = [f"{view}:{name}" for view in NAMES for name in NAMES]
    ours = [feature_field(view, name).hex() for view in NAMES for name in NAMES]
    assert ours == feast_process.ask("fields", names=names)


@pytest.mark.parametrize(("keys", "rows"), KEYS)
def test_keys_are_feasts(
    feast_process: FeastProcess, keys: dict[str, str], rows: list[Any]
) -> None:
    view = feast_view(keys)
    asked = []
    for row in rows:
        cells = row if isinstance(row, tuple) else (row,)
        kinds = zip(keys, keys.values(), cells, strict=True)
        asked.append({name: {KIND[kind]: cell} for name, kind, cell in kinds})
    expected = [bytes.fromhex(key) + b"shop" for key in feast_process.ask("keys", keys=asked)]
    assert our_keys(view, rows) == expected


def test_keys_may_have_other_names_and_types_in_feast(feast_process: FeastProcess) -> None:
    view = feast_view(
        {"z": "int64", "a": "int64"}, join_keys={"z": "b", "a": "c"}, int32_keys=["z"]
    )
    asked = [{"c": {"int64Val": 2**40}, "b": {"int32Val": -7}}]
    [expected] = feast_process.ask("keys", keys=asked)
    assert our_keys(view, [(-7, 2**40), (2**31, 1)]) == [bytes.fromhex(expected) + b"shop", None]


@given(st.binary(max_size=20), st.lists(st.binary(max_size=20), min_size=1, max_size=12))
def test_commands_are_as_hiredis_writes_them(key: bytes, fields: list[bytes]) -> None:
    packed: bytes = hiredis.pack_command(("HMGET", key, *fields))  # type: ignore[arg-type]
    assert HashReads(fields).command(key) == packed


def feature(kind: str, **parts: Any) -> Feature:
    return Feature.model_validate({"name": "x", "type": kind, **parts})


INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
FLOAT32 = st.floats(width=32)
VALUES: dict[str, tuple[Feature, str, st.SearchStrategy[Any]]] = {
    "float64": (feature("float64"), "double_val", st.floats()),
    "float64 of float": (feature("float64"), "float_val", FLOAT32),
    "float32": (feature("float32"), "float_val", FLOAT32),
    "int64": (feature("int64"), "int64_val", INT64),
    "int64 of int32": (feature("int64"), "int32_val", INT32),
    "bool": (feature("bool"), "bool_val", st.booleans()),
    "string": (feature("string"), "string_val", st.text(max_size=200)),
    "timestamp": (feature("timestamp"), "unix_timestamp_val", st.integers(-(10**11), 10**11)),
    "category": (
        feature("category", values=["a", "", "ö"]), "string_val", st.sampled_from(["a", "", "ö"]),
    ),
    "double list": (
        feature("float64", length=3), "double_list_val",
        st.lists(st.floats(), min_size=3, max_size=3),
    ),
    "long list": (
        feature("float64", length=200), "double_list_val",
        st.lists(st.floats(), min_size=2, max_size=2).map(lambda pair: pair * 100),
    ),
    "float list": (
        feature("float32", length=3), "float_list_val", st.lists(FLOAT32, min_size=3, max_size=3),
    ),
    "int64 list": (
        feature("int64", length=2), "int64_list_val", st.lists(INT64, min_size=2, max_size=2),
    ),
    "int32 list": (
        feature("int64", length=2), "int32_list_val", st.lists(INT32, min_size=2, max_size=2),
    ),
    "bool list": (
        feature("bool", length=2), "bool_list_val", st.lists(st.booleans(), min_size=2, max_size=2),
    ),
}  # fmt: skip


def stored(kind: str, value: Any) -> bytes:
    message = FeastValue()
    if kind.endswith("list_val"):
        getattr(message, kind).val.extend(value)
    else:
        setattr(message, kind, value)
    return message.SerializeToString()


@pytest.mark.parametrize("name", VALUES)
@settings(max_examples=50)
@given(data=st.data())
def test_columns_are_what_the_parser_reads(name: str, data: st.DataObject) -> None:
    declared, kind, values = VALUES[name]
    cells = [stored(kind, value) for value in data.draw(st.lists(values, min_size=1, max_size=40))]
    nulls = data.draw(st.lists(st.sampled_from([None, b""]), max_size=3))
    mixed: list[bytes | None] = [*cells, *nulls]
    expected = [parse_value(cell, declared) for cell in cells]
    reader = FeatureReader(declared)
    together = reader.read_all(cells)
    column = reader.read_column(mixed)
    assert column.problems == {}
    assert column.present.tolist() == [True] * len(cells) + [False] * len(nulls)
    wanted = np.array(expected, column.values.dtype)
    np.testing.assert_array_equal(column.values[: len(cells)], wanted)
    if together is not None:
        assert together.dtype == declared.dtype.numpy
        np.testing.assert_array_equal(together, wanted)
    usual = declared.length is None or declared.dtype is not DType.INT64
    long_text = declared.dtype is DType.STRING and max(map(len, cells)) > 129
    assert (together is not None) == (usual and not long_text)


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("name", VALUES)
@settings(max_examples=50)
@given(data=st.data())
def test_damaged_bytes_are_read_by_the_parser_or_refused(
    name: str, count: int, data: st.DataObject
) -> None:
    declared, kind, values = VALUES[name]
    sound = stored(kind, data.draw(values))
    cell = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(cell) - 1))
        cell[place] = data.draw(st.integers(0, 255))
    damaged = bytes(cell[: data.draw(st.integers(1, len(cell)))])
    column = FeatureReader(declared).read_column([damaged, *[sound] * (count - 1)])
    try:
        expected = parse_value(damaged, declared)
    except BadValue as error:
        assert column.problems == {0: str(error)}
        return
    assert column.problems == {}
    assert column.present.tolist() == [expected is not None] + [True] * (count - 1)
    if expected is not None:
        np.testing.assert_array_equal(column.values[0], expected)
