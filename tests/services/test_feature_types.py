"""Categories, instants and vectors: from files through a real Redis into columns."""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tailrace.features.defaults import default_blocks
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_options import BadRowLimit
from tailrace.features.state import FeatureState
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import Code
from tests.support.feature_world import FeatureWorld, MakeWorld, view

ANY_NUMBER = BadRowLimit(share=1.0)
FRESH, MISSING = FeatureState.FRESH, FeatureState.MISSING
COLOURS = ["red", "green", "blue"]
NOON = datetime.datetime(2013, 1, 1, 12, tzinfo=datetime.UTC)
NOON_US = 1_357_041_600_000_000
FEATURES: list[dict[str, Any]] = [
    {"name": "colour", "type": "category", "values": COLOURS},
    {"name": "size", "type": "category", "values": ["S", "L"], "default": "L"},
    {"name": "seen", "type": "timestamp", "default": NOON},
    {"name": "f32", "type": "float32", "length": 3, "default": -1},
    {"name": "other32", "type": "float32", "length": 3},
    {"name": "f64", "type": "float64", "length": 2},
    {"name": "i64", "type": "int64", "length": 2, "default": 7},
    {"name": "flags", "type": "bool", "length": 2, "default": True},
    {"name": "n", "type": "int64"},
]


def rich(features: list[dict[str, Any]] | None = None, **parts: Any) -> dict[str, Any]:
    return view("rich", {}, **parts) | {"features": features or FEATURES}


def rich_table(**changes: Any) -> dict[str, Any]:
    table = {
        "id": ["x", "y", "nulls"],
        "colour": ["blue", "red", None],
        "size": pa.array(["S", "L", None]).dictionary_encode(),
        "seen": [NOON, NOON + datetime.timedelta(microseconds=1), None],
        "f32": pa.array([[1, 2, 3.5], [math.nan, math.inf, 0], None], pa.list_(pa.float32())),
        "other32": [[4.0, 5.0, 6.0], [0.0, 0.0, 0.0], None],
        "f64": pa.array([[1e300, -0.0], [1, 2], None], pa.large_list(pa.float64())),
        "i64": [[2**63 - 1, -(2**63)], [1, 2], None],
        "flags": [[True, False], [False, False], None],
        "n": [1, 2, None],
    }
    return table | changes


CSV_ROWS: list[list[str | None]] = [
    ["id", "colour", "size", "seen", "f32", "other32", "f64", "i64", "flags", "n"],
    [
        "x", "blue", "S", "2013-01-01T12:00:00Z", "[1, 2, 3.5]", "[4,5,6]", " [1e300 , -0.0] ",
        f"[{2**63 - 1}, {-(2**63)}]", "[true,false]", "1",
    ],
    [
        "y", "red", "L", "2013-01-01T12:00:00.000001", "[NaN, inf, 0]", "[0,0,0]", "[1,2]",
        "[1,2]", "[0, 0]", "2",
    ],
    ["nulls", *[None] * 9],
]  # fmt: skip


async def load(world: FeatureWorld, kind: str) -> None:
    if kind == "parquet":
        await world.load("rich", rich_table())
        return
    file = world.folder / "rich.csv"
    with file.open("w", newline="") as text:
        csv.writer(text).writerows(CSV_ROWS)
    await world.load("rich", file)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
async def test_values_of_every_type_and_shape_arrive(make_world: MakeWorld, kind: str) -> None:
    world = make_world(rich())
    await load(world, kind)
    batch, found = await world.look_up({"rich.id": ["y", "nulls", "x", "nobody"]})
    assert not batch.rows.failures
    columns = found.columns
    assert columns["rich.colour"].tolist() == [0, -1, 2, -1]
    assert columns["rich.size"].tolist() == [1, 1, 0, 1]
    assert columns["rich.seen"].tolist() == [NOON_US + 1, NOON_US, NOON_US, NOON_US]
    np.testing.assert_array_equal(
        columns["rich.f32"],
        np.array([[math.nan, math.inf, 0], [-1, -1, -1], [1, 2, 3.5], [-1, -1, -1]]),
    )
    assert columns["rich.other32"].tolist() == [[0] * 3, [0] * 3, [4, 5, 6], [0] * 3]
    assert columns["rich.f64"].tolist() == [[1, 2], [0, 0], [1e300, -0.0], [0, 0]]
    assert columns["rich.i64"].tolist() == [[1, 2], [7, 7], [2**63 - 1, -(2**63)], [7, 7]]
    assert columns["rich.flags"].tolist() == [[0, 0], [1, 1], [1, 0], [1, 1]]
    assert columns["rich.n"].tolist() == [2, 0, 1, 0]
    for column in world.pipeline.views[0].columns():
        assert columns.dtype(column.name) is column.dtype
        assert columns[column.name].dtype == column.dtype.numpy
        assert columns[column.name].shape == (4, *column.row_shape)
    assert found.views[0].states.tolist() == [FRESH, FRESH, FRESH, MISSING]


async def test_single_values_of_one_type_share_a_block_and_each_vector_has_its_own(
    make_world: MakeWorld,
) -> None:
    world = make_world(rich(on_missing="flag"))
    await world.load("rich", rich_table())
    _, found = await world.look_up({"rich.id": ["x"]})
    blocks = {block.names: (block.dtype, block.values.shape) for block in found.columns.blocks}
    assert blocks == {
        ("rich.n",): (DType.INT64, (1, 1)),
        ("rich.seen",): (DType.TIMESTAMP, (1, 1)),
        ("rich.colour", "rich.size"): (DType.INT32, (2, 1)),
        ("rich.missing",): (DType.BOOL, (1, 1)),
        ("rich.f32",): (DType.FLOAT32, (1, 1, 3)),
        ("rich.other32",): (DType.FLOAT32, (1, 1, 3)),
        ("rich.f64",): (DType.FLOAT64, (1, 1, 2)),
        ("rich.i64",): (DType.INT64, (1, 1, 2)),
        ("rich.flags",): (DType.BOOL, (1, 1, 2)),
    }


async def test_defaults_for_a_failed_hop_are_those_of_missing_entities(
    make_world: MakeWorld,
) -> None:
    world = make_world(rich(on_missing="flag", on_stale="flag"))
    _, found = await world.look_up({"rich.id": ["a", "b"]})
    expected = default_blocks(world.pipeline.views[0], 2)
    assert [block.names for block in expected] == [block.names for block in found.columns.blocks]
    for one, other in zip(found.columns.blocks, expected, strict=True):
        assert one.values.dtype == other.values.dtype
        np.testing.assert_array_equal(one.values, other.values)


async def test_presence_tells_values_from_defaults_as_the_view_declares_its_features(
    make_world: MakeWorld,
) -> None:
    world = make_world(rich())
    await world.load("rich", rich_table(n=[1, None, None], f64=[[1.0, 2.0], [1.0, 2.0], None]))
    _, found = await world.look_up({"rich.id": ["x", "y", "nulls", "nobody"]})
    presence = found.views[0].presence
    assert presence is not None
    n = [feature["name"] for feature in FEATURES].index("n")
    for place in range(len(FEATURES)):
        assert presence[place].tolist() == [True, place != n, False, False], place
    _, found = await world.look_up({"rich.id": ["x", "x"]})
    assert found.views[0].presence is None


async def test_nan_is_a_value_and_null_is_not(make_world: MakeWorld) -> None:
    features = {"a": "float64", "b": "float64"}
    world = make_world(view("thing", features, on_missing="fail", defaults={"b": 5.0}))
    table = {"id": ["x"], "a": [math.nan], "b": pa.array([None], pa.float64())}
    await world.load("thing", table)
    batch, found = await world.look_up({"thing.id": ["x"]})
    assert not batch.rows.failures
    assert math.isnan(found.columns["thing.a"][0])
    assert found.columns["thing.b"].tolist() == [5.0]
    presence = found.views[0].presence
    assert presence is not None
    assert presence.tolist() == [[True], [False]]


# -- what does not fit ----------------------------------------------------------------------


async def test_rows_that_do_not_fit_are_refused_by_column_and_reason(
    make_world: MakeWorld,
) -> None:
    features: list[dict[str, Any]] = [
        {"name": "colour", "type": "category", "values": COLOURS},
        {"name": "v", "type": "int64", "length": 2},
    ]
    world = make_world(rich(features))
    rows = [
        ("good", "red", [1, 2]),
        ("colour", "purple", [1, 2]),
        ("empty", "", [1, 2]),
        ("short", "red", [1]),
        ("long", "red", [1, 2, 3]),
        ("null", "red", [1, None]),
        ("fraction", "red", [1, 2.5]),
        ("large", "red", [1, 1e300]),
    ]
    names, colours, vectors = zip(*rows, strict=True)
    table = {"id": names, "colour": colours, "v": pa.array(vectors, pa.list_(pa.float64()))}
    report = await world.load("rich", table, max_bad_rows=ANY_NUMBER)
    assert report.rows == 1
    assert report.bad_rows == {
        "colour: not one of its values": 2,
        "v: wrong length": 2,
        "v: null element": 1,
        "v: wrong type": 1,
        "v: out of range": 1,
    }


async def test_rows_of_a_csv_file_that_do_not_fit_are_refused_by_column_and_reason(
    make_world: MakeWorld,
) -> None:
    features: list[dict[str, Any]] = [
        {"name": "colour", "type": "category", "values": COLOURS},
        {"name": "v", "type": "float32", "length": 2},
    ]
    world = make_world(rich(features))
    file = world.folder / "bad.csv"
    rows = [
        "good,red,'[1,2]'", "colour,Red,'[1,2]'", "utf8,\xff,'[1,2]'", "bare,red,'1,2'",
        "short,red,[1]", "none,red,[]", "null,red,'[1, null]'", "text,red,'[1,x]'",
        "gap,red,'[1,]'", "large,red,'[1,1e39]'", "nested,red,'[[1],[2]]'",
    ]  # fmt: skip
    text = "\n".join(["id,colour,v", *rows]).replace("'", '"')
    file.write_bytes(text.encode("latin-1"))
    report = await world.load("rich", file, max_bad_rows=ANY_NUMBER)
    assert report.rows == 1
    assert report.bad_rows == {
        "colour: not one of its values": 1,
        "colour: wrong type": 1,
        "v: wrong length": 2,
        "v: null element": 1,
        "v: wrong type": 4,
        "v: out of range": 1,
    }


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        ("colour", [1, 2, 3], "type int64, expected text (a category)"),
        ("f32", [1.0, 2.0, 3.0], "type double, expected a list of 3 float32"),
        ("f32", [["a"], ["b"], ["c"]], "expected a list of 3 float32"),
        ("flags", [[1.5], [1.0], [0.0]], "expected a list of 2 bool"),
        ("n", [[1], [2], [3]], "expected int64"),
        ("seen", ["a", "b", "c"], "type string, expected timestamp"),
    ],
)
async def test_a_column_of_another_kind_is_refused_whole(
    make_world: MakeWorld, column: str, cells: list[Any], expected: str
) -> None:
    world = make_world(rich())
    with pytest.raises(LoadFailed) as refused:
        await world.load("rich", rich_table(**{column: cells}))
    assert f"column {column!r} is of" in str(refused.value)
    assert expected in str(refused.value)


# -- what is stored -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "mangle"),
    [
        (
            [{"name": "colour", "type": "category", "values": COLOURS}],
            lambda row: row[:-4] + (3).to_bytes(4, "little"),
        ),
        (
            [{"name": "colour", "type": "category", "values": COLOURS}],
            lambda row: row[:-4] + b"\xff" * 4,
        ),
        ([{"name": "v", "type": "bool", "length": 3}], lambda row: row[:-2] + b"\2\0"),
        ([{"name": "v", "type": "float32", "length": 3}], lambda row: row[:-4]),
    ],
    ids=["unknown category", "negative category", "bool vector", "short vector"],
)
async def test_a_corrupt_row_is_data_loss_for_that_row_only(
    make_world: MakeWorld, features: list[dict[str, Any]], mangle: Callable[[bytes], bytes]
) -> None:
    world = make_world(rich(features))
    name = features[0]["name"]
    cells = ["red", "blue"] if name == "colour" else [[1, 0, 1], [0, 0, 1]]
    await world.load("rich", {"id": ["x", "y"], name: cells})
    with world.redis() as client:
        key = world.names.generation("rich", 1) + "x"
        row = client.get(key)
        assert isinstance(row, bytes)
        client.set(key, mangle(row))
    batch, found = await world.look_up({"rich.id": ["x", "y"]})
    assert list(batch.rows.failures) == [0]
    assert batch.rows.failures[0].code is Code.DATA_LOSS
    expected = 2 if name == "colour" else [0, 0, 1]
    assert found.columns[f"rich.{name}"][1].tolist() == expected
    assert found.views[0].states.tolist() == [0, FRESH]


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "colour", "type": "category", "values": [*COLOURS, "grey"]},
        {"name": "colour", "type": "category", "values": ["green", "red", "blue"]},
        {"name": "f32", "type": "float32", "length": 4},
        {"name": "f32", "type": "float32"},
        {"name": "i64", "type": "float64", "length": 2},
    ],
)
async def test_rows_stored_before_a_type_changed_are_not_read(
    make_world: MakeWorld, changed: dict[str, Any]
) -> None:
    await make_world(rich()).load("rich", rich_table())
    features = [changed if each["name"] == changed["name"] else each for each in FEATURES]
    world = make_world(rich(features))
    batch, _ = await world.look_up({"rich.id": ["x"]})
    assert batch.rows.failures[0].code is Code.DATA_LOSS
    assert "load it anew" in batch.rows.failures[0].message


async def test_text_in_a_csv_cell_that_is_no_vector_leaves_the_row_beside_it_alone(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(rich([{"name": "v", "type": "int64", "length": 1}]))
    file = tmp_path / "one.csv"
    file.write_text("id,v\nx,[5]\ny,5\n")
    report = await world.load("rich", file, max_bad_rows=ANY_NUMBER)
    assert report.bad_rows == {"v: wrong type": 1}
    _, found = await world.look_up({"rich.id": ["x", "y"]})
    assert found.columns["rich.v"].tolist() == [[5], [0]]
