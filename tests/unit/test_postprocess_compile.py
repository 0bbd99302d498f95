"""What keeps a pipeline from being served by postprocess: path in the file, found, expected."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tailrace.postprocess.compile import compile_postprocess
from tailrace.runtime.pipeline.problem import Problem, SpecError
from tests.support.written_pipeline import written_pipeline

OUTPUTS = [
    {"name": "p", "dtype": "float32", "shape": [1]},
    {"name": "v", "dtype": "float32", "shape": [3]},
    {"name": "s", "dtype": "string", "shape": [1]},
]


def problems_of(tmp_path: Path, *steps: Any, **parts: Any) -> list[Problem]:
    section = {"steps": list(steps), "outputs": [{"name": "p"}]}
    parts = {"postprocess": section, "outputs": OUTPUTS, **parts}
    pipeline = written_pipeline(tmp_path, **parts)
    with pytest.raises(SpecError) as refused:
        compile_postprocess(pipeline)
    return refused.value.problems


@pytest.mark.parametrize(
    ("step", "part", "found"),
    [
        ({"step": "platt", "input": "s", "a": 1, "b": 0}, "input", "'s' of type string"),
        ({"step": "platt", "input": "p", "a": math.nan, "b": 0}, "a", "nan"),
        ({"step": "scale", "input": "p", "factor": math.inf}, "factor", "inf"),
        ({"step": "scale", "input": "p", "dtype": "string"}, "dtype", "string"),
        ({"step": "sigmoid", "input": "p", "dtype": "bool"}, "dtype", "bool"),
        (
            {"step": "threshold", "input": "v", "output": "t", "labels": ["a", "b"]},
            "input",
            "vectors of shape [3]",
        ),
        (
            {"step": "threshold", "input": "s", "output": "t", "labels": ["a", "b"]},
            "input",
            "'s' of type string",
        ),
        (
            {"step": "top_k", "input": "v", "output": "t", "k": 1, "labels": ["a", "b"]},
            "labels",
            "2 labels",
        ),
        (
            {"step": "top_k", "input": "v", "output": "t", "k": 4, "labels": ["a", "b", "c"]},
            "k",
            "4",
        ),
        (
            {"step": "top_k", "input": "p", "output": "t", "k": 1, "labels": ["a"]},
            "labels",
            "1 labels",
        ),
        (
            {"step": "top_k", "input": "v", "output": "t", "k": 1, "labels_file": "none.txt"},
            "labels_file",
            "'none.txt': No such file or directory",
        ),
        (
            {
                "step": "function",
                "function": "functions:g",
                "inputs": ["p"],
                "outputs": [{"name": "y"}],
            },
            "function",
            "'g'",
        ),
    ],
)
def test_a_step_that_cannot_work_on_its_column_is_refused(
    tmp_path: Path, step: Any, part: str, found: str
) -> None:
    (problem,) = problems_of(tmp_path, step, functions="def f(p):\n    return p\n")
    assert problem.path == f"postprocess.steps[0].{part}"
    assert found in problem.found
    assert problem.expected


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"a\n\nc\n", "an empty line 2"), (b"\xff\xfe\n", "not UTF-8"), (b"a\nb\n", "2 labels")],
)
def test_a_label_file_that_does_not_fit_is_refused(
    tmp_path: Path, content: bytes, found: str
) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "labels.txt").write_bytes(content)
    step = {"step": "top_k", "input": "v", "output": "t", "k": 1, "labels_file": "labels.txt"}
    (problem,) = problems_of(tmp_path, step)
    assert problem.path == "postprocess.steps[0].labels_file"
    assert found in problem.found


def test_a_step_sees_the_shape_that_the_step_before_made(tmp_path: Path) -> None:
    labels = ["a", "b", "c"]
    section = {
        "steps": [
            {"step": "scale", "input": "v", "output": "w", "factor": 2},
            {"step": "top_k", "input": "w", "output": "best", "k": 2, "labels": labels},
        ],
        "outputs": [{"name": "best", "column": "best.labels"}],
    }
    pipeline = written_pipeline(tmp_path, outputs=OUTPUTS, postprocess=section)
    assert len(compile_postprocess(pipeline).steps) == 2
