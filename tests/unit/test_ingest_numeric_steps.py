"""fill, clip, standardise, log, bucketise and cast, through the pipeline that names them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.ingest.offline import BadRow, ingest_columns
from tailrace.ingest.steps.numeric import Bucketise
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import InvalidField
from tailrace.runtime.steps.step_table import Blame, StepColumn, StepTable
from tests.support.written_pipeline import written_pipeline

NAN = math.nan


def run_step(
    tmp_path: Path,
    step: Any,
    values: Any,
    field: Any = "double",
    dtype: Any = "float64",
    output: Any = "x",
) -> Any:
    pipeline = written_pipeline(
        tmp_path, {"x": {"type": field}}, [{"input": "x", **step}], [output], dtype=dtype
    )
    columns: Any = ingest_columns(pipeline, {"x": values})
    return columns[output], columns.validity(output)


def assert_values(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found, np.array(expected, dtype=found.dtype))


def test_fill_replaces_nulls_and_leaves_no_validity(tmp_path: Path) -> None:
    step = {"step": "fill", "value": 2.5, "dtype": "float64"}
    values, valid = run_step(tmp_path, step, [1.0, None, -3.0])
    assert_values(values, [1.0, 2.5, -3.0])
    assert valid is None


def test_fill_of_whole_numbers_keeps_them_exact(tmp_path: Path) -> None:
    step = {"step": "fill", "value": -1, "dtype": "int64"}
    values, valid = run_step(tmp_path, step, [2**62 + 1, None], field="int64", dtype="int64")
    assert values.tolist() == [2**62 + 1, -1]
    assert valid is None


def test_fill_of_text(tmp_path: Path) -> None:
    step = {"step": "fill", "value": "none", "dtype": "string"}
    values, _ = run_step(tmp_path, step, ["a", None, ""], field="string", dtype="string")
    assert values.tolist() == ["a", "none", ""]


def test_fill_of_bools(tmp_path: Path) -> None:
    step = {"step": "fill", "value": True, "dtype": "bool"}
    values, _ = run_step(tmp_path, step, [False, None], field="bool", dtype="bool")
    assert values.tolist() == [False, True]


def test_clip_limits_values_and_keeps_nulls(tmp_path: Path) -> None:
    step = {"step": "clip", "minimum": 0, "maximum": 10}
    values, valid = run_step(tmp_path, step, [-1.0, 5.0, 11.0, None], dtype="float32")
    assert_values(values, [0, 5, 10, NAN])
    assert valid.tolist() == [True, True, True, False]


def test_clip_of_whole_numbers_keeps_them_exact(tmp_path: Path) -> None:
    step = {"step": "clip", "minimum": 0.5, "dtype": "int64"}
    values, valid = run_step(tmp_path, step, [2**62 + 1, -5, 0, None], field="int64", dtype="int64")
    assert values.tolist() == [2**62 + 1, 1, 1, 0]
    assert valid.tolist() == [True, True, True, False]


def test_standardise_subtracts_the_mean_and_divides_by_the_deviation(tmp_path: Path) -> None:
    step = {"step": "standardise", "mean": 10, "stddev": 4}
    values, valid = run_step(tmp_path, step, [10.0, 12.0, 6.0, None], dtype="float32")
    assert_values(values, [0, 0.5, -1, NAN])
    assert valid.tolist() == [True, True, True, False]


def test_standardise_takes_whole_numbers(tmp_path: Path) -> None:
    step = {"step": "standardise", "mean": 1, "stddev": 2}
    values, _ = run_step(tmp_path, step, [5, None], field="int64", dtype="float32")
    assert_values(values, [2, NAN])


def test_log_is_the_natural_logarithm_with_an_offset(tmp_path: Path) -> None:
    step = {"step": "log", "offset": 1, "dtype": "float64"}
    values, _ = run_step(tmp_path, step, [0.0, math.e - 1, None])
    np.testing.assert_allclose(values, [0.0, 1.0, NAN], rtol=1e-15)


@pytest.mark.parametrize("bad", [-1.0, -1.5])
def test_log_fails_the_row_of_a_value_at_or_below_minus_the_offset(
    tmp_path: Path, bad: Any
) -> None:
    with pytest.raises(BadRow) as failure:
        run_step(tmp_path, {"step": "log", "offset": 1}, [3.0, bad])
    assert failure.value.row == 1
    assert failure.value.error.field == "fields.x"
    assert "expected one above -1" in failure.value.error.message


def test_bucketise_counts_the_boundaries_at_or_below(tmp_path: Path) -> None:
    step = {"step": "bucketise", "boundaries": [0, 10, 20]}
    values, valid = run_step(tmp_path, step, [-0.1, 0.0, 9.9, 10.0, 25.0, None], dtype="int64")
    assert values.tolist() == [0, 1, 1, 2, 3, 0]
    assert valid.tolist() == [True] * 5 + [False]


def test_bucketise_to_float_makes_nulls_nan(tmp_path: Path) -> None:
    step = {"step": "bucketise", "boundaries": [0], "dtype": "float32"}
    values, _ = run_step(tmp_path, step, [1.0, None], dtype="float32")
    assert_values(values, [1, NAN])


@settings(deadline=None)
@given(
    boundaries=st.lists(st.integers(-50, 50), min_size=1, max_size=8, unique=True).map(sorted),
    values=st.lists(st.floats(-60, 60) | st.just(NAN), min_size=1, max_size=20),
)
def test_bucketise_equals_its_definition_value_by_value(boundaries: Any, values: Any) -> None:
    table = StepTable(len(values), np.arange(len(values)))
    table.columns["x"] = StepColumn(DType.FLOAT64, np.array(values))
    limits = np.array(boundaries, dtype=np.float64)
    Bucketise("x", "b", DType.INT64, limits, Blame(InvalidField, "x")).run(table)
    found = table.columns["b"]
    for row, value in enumerate(values):
        if math.isnan(value):
            assert found.valid is not None and not found.valid[row]
        else:
            assert found.values[row] == sum(boundary <= value for boundary in boundaries)


def test_cast_cuts_off_towards_zero(tmp_path: Path) -> None:
    step = {"step": "cast", "dtype": "int64"}
    values, valid = run_step(tmp_path, step, [1.9, -1.9, None], dtype="int64")
    assert values.tolist() == [1, -1, 0]
    assert valid.tolist() == [True, True, False]


def test_cast_of_bools_and_timestamps_to_numbers(tmp_path: Path) -> None:
    step = {"step": "cast", "dtype": "int64"}
    assert run_step(tmp_path, step, [True, False], "bool", "int64")[0].tolist() == [1, 0]
    assert run_step(tmp_path, step, [-7, 8], "timestamp", "int64")[0].tolist() == [-7, 8]


def test_cast_to_bool_asks_whether_it_is_not_zero(tmp_path: Path) -> None:
    step = {"step": "cast", "dtype": "bool"}
    values, valid = run_step(tmp_path, step, [0.0, -0.5, None], dtype="bool")
    assert values.tolist() == [False, True, False]
    assert valid.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("target", "field", "bad"),
    [
        ("int8", "double", 128.0),
        ("int8", "int64", -129),
        ("uint64", "int64", -1),
        ("int64", "double", 2.0**63),
        ("float32", "double", 1e39),
        ("float16", "int64", 70_000),
    ],
)
def test_cast_fails_the_row_of_a_number_that_does_not_fit(
    tmp_path: Path, target: Any, field: Any, bad: Any
) -> None:
    good = 1 if field == "int64" else 1.0
    with pytest.raises(BadRow) as failure:
        run_step(
            tmp_path, {"step": "cast", "dtype": target}, [good, bad], field=field, dtype=target
        )
    assert failure.value.row == 1
    assert failure.value.error.field == "fields.x"
    assert target in failure.value.error.message


@pytest.mark.parametrize("step", [{"step": "standardise", "mean": 0, "stddev": 1e-300}])
def test_a_result_beyond_float64_is_a_bad_row(tmp_path: Path, step: Any) -> None:
    with pytest.raises(BadRow) as failure:
        run_step(tmp_path, {**step, "dtype": "float64"}, [0.0, 1e300])
    assert failure.value.row == 1


def test_a_number_beyond_the_models_type_is_a_bad_row(tmp_path: Path) -> None:
    pipeline = written_pipeline(tmp_path, {"x": {"type": "double"}}, [], ["x"], dtype="float32")
    with pytest.raises(BadRow) as failure:
        ingest_columns(pipeline, {"x": [0.0, -1e39]})
    assert failure.value.row == 1
    assert "float32" in failure.value.error.message


def test_steps_work_on_every_element_of_vectors(tmp_path: Path) -> None:
    pipeline = written_pipeline(
        tmp_path,
        {"v": {"type": "tensor", "dtype": "float32", "shape": [2, 2]}},
        [
            {"step": "clip", "input": "v", "minimum": 0},
            {"step": "standardise", "input": "v", "output": "s", "mean": 1, "stddev": 2},
        ],
        ["s"],
    )
    columns: Any = ingest_columns(pipeline, {"v": np.array([[[-1, 1], [3, 5]]], np.float32)})
    assert columns["s"].tolist() == [[[-0.5, 0.0], [1.0, 2.0]]]


def test_a_missing_vector_is_nan_throughout(tmp_path: Path) -> None:
    pipeline = written_pipeline(
        tmp_path,
        {"v": {"type": "tensor", "dtype": "float32", "shape": [2]}, "x": {"type": "double"}},
        [{"step": "clip", "input": "v", "minimum": 0}],
        ["v"],
    )
    columns: Any = ingest_columns(pipeline, {"x": [1.0]})
    assert np.isnan(columns["v"]).all()
    assert columns.validity("v").tolist() == [False]
