"""What keeps a pipeline from being served by ingest: path in the file, found, expected."""

from pathlib import Path
from typing import Any

import pytest

from tailrace.ingest.compile import compile_ingest
from tailrace.runtime.pipeline.problem import SpecError
from tests.support.written_pipeline import written_pipeline

FIELDS = {
    "x": {"type": "double"},
    "s": {"type": "string"},
    "t": {"type": "timestamp"},
    "b": {"type": "bool"},
    "raw": {"type": "bytes"},
    "v": {"type": "tensor", "dtype": "float32", "shape": [3]},
    "w": {"type": "tensor", "dtype": "int64", "shape": [3]},
}


def problems_of(tmp_path: Path, fields: Any, steps: Any = ()) -> Any:
    fields = {**fields, "read": {"type": "double"}}
    pipeline = written_pipeline(tmp_path, fields, steps, ["read"])
    with pytest.raises(SpecError) as refused:
        compile_ingest(pipeline)
    return refused.value.problems


@pytest.mark.parametrize(
    ("step", "part", "found"),
    [
        ({"step": "fill", "input": "s", "value": ""}, "dtype", "float32 for string"),
        ({"step": "fill", "input": "t", "value": 0}, "dtype", "float32 for timestamp"),
        ({"step": "fill", "input": "x", "value": "a"}, "value", "'a'"),
        ({"step": "fill", "input": "x", "value": True}, "value", "True"),
        ({"step": "fill", "input": "x", "value": 1.5, "dtype": "int64"}, "value", "1.5"),
        ({"step": "fill", "input": "x", "value": 300, "dtype": "uint8"}, "value", "300.0"),
        ({"step": "fill", "input": "x", "value": float("nan")}, "value", "nan"),
        ({"step": "fill", "input": "b", "value": 1, "dtype": "bool"}, "value", "1.0"),
        ({"step": "clip", "input": "s", "minimum": 0}, "input", "'s' of type string"),
        ({"step": "clip", "input": "x", "minimum": 0, "dtype": "bool"}, "dtype", "bool"),
        ({"step": "standardise", "input": "t", "mean": 0, "stddev": 1}, "input", "'t' of type"),
        ({"step": "log", "input": "raw"}, "input", "'raw' of type bytes"),
        ({"step": "bucketise", "input": "s", "boundaries": [1]}, "input", "'s' of type string"),
        ({"step": "cast", "input": "s", "dtype": "float32"}, "dtype", "float32"),
        ({"step": "cast", "input": "x", "dtype": "timestamp"}, "dtype", "timestamp"),
        ({"step": "vocabulary", "input": "x", "values": ["a"]}, "input", "'x' of type float64"),
        ({"step": "vocabulary", "input": "s", "values": [1]}, "input", "'s' of type string"),
        (
            {"step": "vocabulary", "input": "s", "values": ["a"], "dtype": "uint8"},
            "dtype",
            "uint8",
        ),
        ({"step": "vocabulary", "input": "w", "values": [1]}, "input", "vectors of shape [3]"),
        ({"step": "one_hot", "input": "w", "values": [1]}, "input", "vectors of shape [3]"),
        ({"step": "hash", "input": "x", "buckets": 8}, "input", "'x' of type float64"),
        ({"step": "hash", "input": "s", "buckets": 2**25, "dtype": "float32"}, "dtype", "float32"),
        ({"step": "time_parts", "input": "x", "parts": ["hour"]}, "input", "'x' of type float64"),
        (
            {"step": "time_parts", "input": "t", "parts": ["year"], "dtype": "int8"},
            "dtype",
            "int8",
        ),
        ({"step": "time_parts", "input": "t", "parts": ["hour"], "dtype": "bool"}, "dtype", "bool"),
    ],
)
def test_a_step_that_cannot_work_on_its_column_is_refused(
    tmp_path: Path, step: Any, part: Any, found: Any
) -> None:
    (problem,) = problems_of(tmp_path, FIELDS, [step])
    assert problem.path == f"ingest.steps[0].{part}"
    assert found in problem.found
    assert problem.expected


@pytest.mark.parametrize(
    ("field", "path", "found"),
    [
        ({"type": "string", "default": "c", "allowed": ["a"]}, "default", "not allowed"),
        ({"type": "string", "default": "long", "max_length": 3}, "default", "too long"),
        ({"type": "double", "default": -1, "minimum": 0}, "default", "too small"),
        ({"type": "double", "default": float("nan")}, "default", "NaN"),
        ({"type": "double", "minimum": 2, "maximum": 1}, "minimum", "2, above maximum 1"),
        ({"type": "int64", "default": 3, "allowed": [1]}, "default", "not allowed"),
        (
            {"type": "timestamp", "default": "2012-01-01T00:00:00Z",
             "minimum": "2013-01-01T00:00:00Z"},
            "default",
            "too small",
        ),
    ],
)  # fmt: skip
def test_a_field_that_contradicts_itself_is_refused(
    tmp_path: Path, field: Any, path: Any, found: Any
) -> None:
    (problem,) = problems_of(tmp_path, {"f": field})
    assert problem.path == f"request.fields.f.{path}"
    assert found in problem.found


def test_a_bound_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, {"f": {"type": "int64", "maximum": 2**63}})
    assert problem.path == "request.fields.f"
    assert problem.expected == "a signed 64-bit integer"


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    steps = [
        {"step": "log", "input": "s"},
        {"step": "cast", "input": "x", "dtype": "string"},
        {"step": "clip", "input": "x", "minimum": 0},
    ]
    paths = {problem.path for problem in problems_of(tmp_path, FIELDS, steps)}
    assert {"ingest.steps[0].input", "ingest.steps[1].dtype"} <= paths


def test_a_step_sees_the_type_that_the_step_before_made(tmp_path: Path) -> None:
    steps = [
        {"step": "vocabulary", "input": "s", "values": ["a"]},
        {"step": "clip", "input": "s", "minimum": 0, "dtype": "int64"},
        {"step": "one_hot", "input": "s", "values": [0]},
    ]
    pipeline = written_pipeline(tmp_path, FIELDS, steps, ["s=0"])
    assert len(compile_ingest(pipeline).steps) == 3
