"""A model's own description, and its answers, against the pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tailrace.inference.backend import ModelAnswer, ModelMetadata, TensorInfo
from tailrace.inference.checks import ExpectedTensor, differences
from tailrace.inference.output_checks import OutputCheck, checked_outputs
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import ModelOutputInvalid
from tailrace.runtime.pipeline.model_section import ModelOutput

INPUT = ExpectedTensor("features", DType.FLOAT32, (4,))
OUTPUT = ExpectedTensor("score", DType.FLOAT32, ())


def info(name: str, dtype: DType | None, *shape: int, optional: bool = False) -> TensorInfo:
    return TensorInfo(name, dtype, dtype.value if dtype else "BF16", shape, optional)


def found(inputs: list[TensorInfo], outputs: list[TensorInfo]) -> list[str]:
    metadata = ModelMetadata(
        "m", "1", {item.name: item for item in inputs}, {item.name: item for item in outputs}
    )
    return differences([INPUT], [OUTPUT], metadata)


FITTING_INPUT = info("features", DType.FLOAT32, -1, 4)
FITTING_OUTPUT = info("score", DType.FLOAT32, -1)


@pytest.mark.parametrize(
    "model_input, model_output",
    [
        (FITTING_INPUT, FITTING_OUTPUT),
        (info("features", DType.FLOAT32, -1, -1), FITTING_OUTPUT),
        (FITTING_INPUT, info("score", DType.FLOAT32, -1, 1)),
    ],
)
def test_a_model_that_fits_has_no_differences(
    model_input: TensorInfo, model_output: TensorInfo
) -> None:
    assert found([model_input], [model_output]) == []


@pytest.mark.parametrize(
    "model_input, words",
    [
        (info("feature", DType.FLOAT32, -1, 4), "no input 'features', only feature; did you mean"),
        (info("features", DType.FLOAT64, -1, 4), "is float64 in the model, float32 in the"),
        (info("features", None, -1, 4), "is BF16 in the model, float32 in the pipeline"),
        (info("features", DType.FLOAT32, -1, 5), "[-1, 5] in the model, [-1, 4] in the pipeline"),
        (info("features", DType.FLOAT32, -1), "[-1] in the model, [-1, 4] in the pipeline"),
        (info("features", DType.FLOAT32, 1, 4), "its first dimension is not free"),
    ],
)
def test_a_difference_says_what_the_model_has_and_what_the_pipeline(
    model_input: TensorInfo, words: str
) -> None:
    assert words in found([model_input], [FITTING_OUTPUT])[0]


def test_an_input_that_nobody_gives_is_a_difference_unless_it_is_optional() -> None:
    more = info("mask", DType.BOOL, -1)
    assert "needs an input 'mask'" in found([FITTING_INPUT, more], [FITTING_OUTPUT])[0]
    optional = info("mask", DType.BOOL, -1, optional=True)
    assert found([FITTING_INPUT, optional], [FITTING_OUTPUT]) == []


def test_every_difference_is_told() -> None:
    assert len(found([], [])) == 2


@pytest.mark.parametrize(
    "pipeline, model", [(DType.STRING, DType.BYTES), (DType.TIMESTAMP, DType.INT64)]
)
def test_text_and_instants_are_what_models_call_them(pipeline: DType, model: DType) -> None:
    expected = ExpectedTensor("x", pipeline, ())
    metadata = ModelMetadata("m", "1", {"x": info("x", model, -1)}, {})
    assert differences([expected], [], metadata) == []


def checked(values: Any, rows: int, **output: Any) -> tuple[Any, dict[int, ModelOutputInvalid]]:
    declared = ModelOutput.model_validate({"name": "y", "dtype": "float32", **output})
    outputs, bad = checked_outputs(ModelAnswer("1", {"y": values}), [OutputCheck(declared)], rows)
    return outputs["y"], bad


def floats(*shape: int) -> Any:
    return np.zeros(shape, dtype=np.float32)


@pytest.mark.parametrize(
    "declared, answered, shape",
    [
        ([], (3,), (3,)),
        ([], (3, 1), (3,)),
        ([1], (3, 1), (3, 1)),
        ([1], (3,), (3, 1)),
        ([2, 5], (3, 2, 5), (3, 2, 5)),
        ([-1], (3, 7), (3, 7)),
    ],
)
def test_an_answer_gets_the_declared_shape(
    declared: list[int], answered: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    values, bad = checked(floats(*answered), 3, shape=declared)
    assert (values.shape, bad) == (shape, {})


@pytest.mark.parametrize(
    "values",
    [floats(2), floats(3, 2), floats(3, 1, 1), floats(), np.zeros(3, np.float64)],
    ids=["fewer rows", "wider", "deeper", "no rows", "another type"],
)
def test_an_answer_of_another_shape_or_type_is_refused_whole(values: Any) -> None:
    with pytest.raises(ModelOutputInvalid):
        checked(values, 3)


def test_a_missing_output_is_refused() -> None:
    output = ModelOutput(name="y", dtype=DType.FLOAT32)
    with pytest.raises(ModelOutputInvalid, match="'y'"):
        checked_outputs(ModelAnswer("1"), [OutputCheck(output)], 1)


def test_rows_that_are_not_finite_are_told_one_by_one() -> None:
    values = np.array([[1, np.nan], [2, 3], [np.inf, 4]], np.float32)
    _, bad = checked(values, 3, shape=[2])
    assert {row: error.message.split()[-1] for row, error in bad.items()} == {
        0: "NaN",
        2: "infinity",
    }
    _, bad = checked(values, 3, shape=[2], allow_nan=True)
    assert list(bad) == [2]


def test_text_is_decoded_and_what_is_not_utf8_fails_its_row() -> None:
    values = np.array([b"a", "é".encode(), b"\xff"], dtype=object)
    decoded, bad = checked(values, 3, dtype="string")
    assert (decoded.tolist(), list(bad)) == (["a", "é", ""], [2])
    as_they_are, bad = checked(values, 3, dtype="bytes")
    assert (as_they_are.tolist(), bad) == (values.tolist(), {})
