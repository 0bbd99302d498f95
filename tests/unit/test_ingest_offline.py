"""The offline columns: what may be in the table, and that they equal the service's."""

import asyncio
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.client.values import to_value
from tailrace.ingest.compile import compile_ingest
from tailrace.ingest.handler import IngestHandler
from tailrace.ingest.offline import BadRow, BadTable, ingest_columns
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import IngestSettings
from tests.support.wire_batches import done
from tests.support.written_pipeline import written_pipeline

FIELDS = {
    "x": {"type": "double", "minimum": 0},
    "n": {"type": "int64", "default": 7},
    "s": {"type": "string", "required": True},
    "t": {"type": "timestamp"},
    "b": {"type": "bool"},
}
STEPS = [
    {"step": "fill", "input": "x", "output": "filled", "value": -1},
    {"step": "log", "input": "x", "output": "logged", "offset": 1},
    {"step": "vocabulary", "input": "s", "output": "place", "values": ["a", "b"]},
    {"step": "hash", "input": "s", "output": "bucket", "buckets": 10},
    {"step": "time_parts", "input": "t", "parts": ["hour", "week"],
     "timezone": "America/New_York"},
    {"step": "cast", "input": "b", "output": "truth"},
    {"step": "bucketise", "input": "n", "output": "range", "boundaries": [0, 5, 10]},
]  # fmt: skip
COLUMNS = ["filled", "logged", "place", "bucket", "hour", "week", "truth", "range", "n"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: Any) -> Any:
    return written_pipeline(tmp_path_factory.mktemp("offline"), FIELDS, STEPS, COLUMNS)


optional = st.none()
table_rows = st.lists(
    st.fixed_dictionaries(
        {
            "x": optional | st.floats(0, 1e6),
            "n": optional | st.integers(-100, 100),
            "s": st.sampled_from(["a", "b", "c", "é"]),
            "t": optional | st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)),
            "b": optional | st.booleans(),
        }
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(table_rows)
def test_offline_columns_are_bit_for_bit_those_of_the_service(pipeline: Any, rows: Any) -> None:
    instants = [row["t"] and row["t"].replace(tzinfo=UTC) for row in rows]
    table = {name: np.array([row[name] for row in rows], dtype=object) for name in "xnsb"}
    table["t"] = np.array([row["t"] for row in rows], dtype="M8[us]")
    offline = ingest_columns(pipeline, table)

    requests = []
    for row, instant in zip(rows, instants, strict=True):
        fields = {**row, "t": instant}
        values = {k: v if v is None or k != "x" else float(v) for k, v in fields.items()}
        requests.append({k: to_value(v, k) for k, v in values.items() if v is not None})
    contexts = Rows([""] * len(rows), [2**62] * len(rows))
    batch = Batch("under-test", pipeline.version, contexts, Columns(len(rows)))
    handler = IngestHandler(IngestSettings())
    served = asyncio.run(done(handler.handle(batch, requests, compile_ingest(pipeline))))
    assert not contexts.failures
    assert [block.names for block in offline.blocks] == [block.names for block in served.blocks]
    for one, other in zip(offline.blocks, served.blocks, strict=True):
        assert one.values.tobytes() == other.values.tobytes()
        if one.validity is None or other.validity is None:
            assert one.validity is other.validity
        else:
            assert one.validity.tolist() == other.validity.tolist()


def test_the_blocks_are_those_of_the_layout(pipeline: Any) -> None:
    columns: Any = ingest_columns(pipeline, {"s": ["a"]})
    found = [(block.dtype, block.names) for block in columns.blocks]
    assert found == [(block.dtype, block.names) for block in pipeline.ingest_layout]


def test_pandas_columns_with_their_nulls_are_taken(pipeline: Any) -> None:
    frame: Any = pd.DataFrame(
        {
            "x": [1.0, math.nan],
            "s": ["a", "b"],
            "t": np.array(["2013-07-01T10:00", "NaT"], "M8[us]"),
        }
    )
    columns: Any = ingest_columns(pipeline, {str(name): column for name, column in frame.items()})
    np.testing.assert_array_equal(columns["filled"], np.array([1, -1], np.float32))
    np.testing.assert_array_equal(columns["hour"], np.array([6, math.nan], np.float32))
    np.testing.assert_array_equal(columns["n"], np.array([7, 7], np.float32))


def test_the_table_is_left_as_it_was(pipeline: Any) -> None:
    table = {"x": np.array([1.0, math.nan]), "s": np.array(["a", "b"], dtype=object)}
    ingest_columns(pipeline, table)
    assert table["x"].tolist()[0] == 1.0
    assert math.isnan(table["x"][1])


@pytest.mark.parametrize(
    ("column", "field"),
    [({"x": [1.0, -1.0]}, "fields.x"), ({"x": [1.0, math.inf]}, "fields.x"),
     ({"s": ["a", None]}, "fields.s")],
)  # fmt: skip
def test_a_bad_row_is_raised_with_its_index(pipeline: Any, column: Any, field: Any) -> None:
    with pytest.raises(BadRow) as failure:
        ingest_columns(pipeline, {"s": ["a", "b"], **column})
    assert failure.value.row == 1
    assert failure.value.error.field == field


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"s": ["a"], "xx": [1.0]}, "unknown field 'xx'"),
        ({"s": ["a"], "x": [1.0, 2.0]}, "different lengths"),
        ({}, "without rows"),
        ({"s": []}, "without rows"),
        ({"s": [1]}, "found int, expected string"),
        ({"s": ["a"], "n": [1.0]}, "found float64, expected int64"),
        ({"s": ["a"], "n": [True]}, "found bool, expected int64"),
        ({"s": ["a"], "x": ["1"]}, "expected float64"),
        ({"s": ["a"], "x": [True]}, "found bool, expected float64"),
        ({"s": ["a"], "b": [1]}, "expected bool"),
        ({"s": ["a"], "t": [1.5]}, "expected timestamp"),
        ({"s": ["a"], "x": [2**53 + 1]}, "no double equals"),
        ({"s": [["a"]]}, "shape"),
    ],
)
def test_a_table_unlike_the_schema_is_refused(pipeline: Any, table: Any, message: Any) -> None:
    with pytest.raises(BadTable, match=message):
        ingest_columns(pipeline, table)


def test_text_arrays_of_numpy_are_taken(pipeline: Any) -> None:
    assert ingest_columns(pipeline, {"s": np.array(["a", "b"])})["place"].tolist() == [0, 1]


def test_whole_numbers_are_taken_for_doubles(pipeline: Any) -> None:
    columns: Any = ingest_columns(pipeline, {"s": ["a"], "x": np.array([3], dtype=np.int32)})
    assert columns["filled"].tolist() == [3.0]


def test_tensors_are_taken_as_arrays_of_rows(tmp_path: Path) -> None:
    fields = {"v": {"type": "tensor", "dtype": "float32", "shape": [2]}}
    pipeline = written_pipeline(tmp_path, fields, [], ["v"])
    values = np.array([[1, 2], [3, 4]], np.float32)
    assert ingest_columns(pipeline, {"v": values})["v"].tolist() == values.tolist()
    with pytest.raises(BadTable, match="shape"):
        ingest_columns(pipeline, {"v": values[:, :1]})
    with pytest.raises(BadTable, match="NaN in a tensor"):
        ingest_columns(pipeline, {"v": np.array([[1, math.nan]], np.float32)})
