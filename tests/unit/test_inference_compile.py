"""What the inference hop refuses in a pipeline file, and what it keeps of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.inference.backend import ModelMetadata, TensorInfo
from tailrace.inference.compile import InferencePlan, compile_for_inference
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import FailedPrecondition, Reason
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.load import SpecError
from tests.support.inference_service import write_pipeline

TENSOR = {"type": "tensor", "dtype": "float32", "shape": [2, 3], "required": True}


def compiled(folder: Path, model: dict[str, Any], **fields: Any) -> InferencePlan:
    sections = {"request": {"fields": fields}} if fields else {}
    write_pipeline(folder, "p", model, **sections)
    content = load_directory(folder)
    assert not content.errors
    return compile_for_inference(content.pipelines["p"])


def refusal(folder: Path, model: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(SpecError) as refused:
        compiled(folder, model, **fields)
    return str(refused.value)


def model_input(**parts: Any) -> dict[str, Any]:
    return {"name": "features", "dtype": "float32", **parts}


def metadata(*shape: int) -> ModelMetadata:
    def info(name: str, *sizes: int) -> dict[str, TensorInfo]:
        return {name: TensorInfo(name, DType.FLOAT32, "FP32", sizes)}

    return ModelMetadata("echo_sum", "1", info("features", *shape), info("score", -1, 1))


def test_a_model_that_fits_may_be_used(tmp_path: Path) -> None:
    compiled(tmp_path, {}).require_match(metadata(-1, 4))


def test_a_model_that_does_not_fit_names_pipeline_version_and_difference(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        compiled(tmp_path, {}).require_match(metadata(-1, 5))
    assert refused.value.reason is Reason.MODEL_MISMATCH
    assert "'echo_sum' version 1 does not fit pipeline 'p': input 'features'" in str(refused.value)


def test_the_shape_of_a_tensor_field_is_part_of_the_check(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"inputs": [model_input(column="image")]}, image=TENSOR)
    assert plan.mismatch(metadata(-1, 2, 3)) == ""
    assert plan.mismatch(metadata(-1, -1, 3)) == ""
    assert "[-1, 2, 4] in the model, [-1, 2, 3] in the pipeline" in plan.mismatch(
        metadata(-1, 2, 4)
    )


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    inputs = [model_input(columns=["x0"]), model_input(columns=["x1"])]
    assert "model.inputs[1].name: found 'features', expected each name once" in refusal(
        tmp_path, {"inputs": inputs}
    )


def test_a_column_that_two_inputs_read_must_fit_both(tmp_path: Path) -> None:
    inputs = [
        {"name": "features", "dtype": "float32", "columns": ["x0"]},
        {"name": "more", "dtype": "int64", "columns": ["x0"]},
    ]
    field = {"type": "double", "required": True}
    assert "'x0' of type float64, expected a column that can be int64; add a cast step" in refusal(
        tmp_path, {"inputs": inputs}, x0=field
    )
