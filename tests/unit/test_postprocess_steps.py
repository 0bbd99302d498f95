"""platt, clip, scale, sigmoid, threshold, top_k and functions, through the pipeline's file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.postprocess.compile import compile_postprocess
from tailrace.postprocess.handler import PostprocessHandler
from tailrace.postprocess.steps.calibration import EPSILON, logit, sigmoid
from tailrace.postprocess.steps.labelling import largest
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Array, Columns, DType, column_block
from tailrace.runtime.config import PostprocessSettings
from tailrace.runtime.errors import InvalidBatch, Reason, TailraceError
from tests.support.wire_batches import done
from tests.support.written_pipeline import written_pipeline

SCORE = [{"name": "score", "dtype": "float32", "shape": [1]}]
SCORES = [{"name": "scores", "dtype": "float32", "shape": [4]}]


async def processed(
    folder: Path,
    steps: Sequence[Mapping[str, Any]],
    values: Any,
    outputs: Sequence[Mapping[str, Any]],
    model: Sequence[Mapping[str, Any]] = SCORE,
    **parts: Any,
) -> tuple[Columns, dict[int, TailraceError]]:
    """The prediction columns and failures for values of the model's only output."""
    section = {"steps": list(steps), "outputs": list(outputs)}
    pipeline = written_pipeline(folder, outputs=model, postprocess=section, **parts)
    dtype = DType(model[0]["dtype"])
    array = np.asarray(values, dtype=dtype.numpy)
    if model is SCORE:
        array = array.reshape(-1, 1)
    batch = batch_of(len(array), {model[0]["name"]: (dtype, array)})
    handler = PostprocessHandler(PostprocessSettings())
    columns = await done(handler.handle(batch, compile_postprocess(pipeline)))
    return columns, batch.rows.failures


def batch_of(rows: int, columns: Mapping[str, tuple[DType, Array]]) -> Batch:
    contexts = Rows([str(row) for row in range(rows)], [2**62] * rows)
    blocks = [column_block(name, dtype, values) for name, (dtype, values) in columns.items()]
    return Batch("under-test", "1", contexts, Columns(rows, blocks))


async def score_after(folder: Path, step: Mapping[str, Any], values: Any) -> list[Any]:
    columns, failures = await processed(
        folder, [{"input": "score", **step}], values, [{"name": "score"}]
    )
    assert not failures
    found: list[Any] = columns["score"].tolist()
    return found


async def test_without_steps_the_models_output_is_the_prediction(tmp_path: Path) -> None:
    columns, _ = await processed(tmp_path, [], [0.25, 0.5], [{"name": "score"}])
    assert columns["score"].tolist() == [0.25, 0.5]
    assert columns.dtype("score") is DType.FLOAT32


async def test_fields_may_be_named_unlike_their_columns(tmp_path: Path) -> None:
    outputs = [{"name": "chance", "column": "score", "unit": "1"}, {"name": "score"}]
    columns, _ = await processed(tmp_path, [], [0.25], outputs)
    assert list(columns) == ["chance", "score"]
    assert columns["chance"].tolist() == [0.25]
    assert len(columns.blocks) == 1


async def test_scale_multiplies_and_adds(tmp_path: Path) -> None:
    step = {"step": "scale", "factor": 1.8, "offset": 32}
    assert await score_after(tmp_path, step, [0, 100]) == [32.0, 212.0]


async def test_clip_limits(tmp_path: Path) -> None:
    step = {"step": "clip", "minimum": 0, "maximum": 1}
    assert await score_after(tmp_path, step, [-0.5, 0.5, 1.5]) == [0.0, 0.5, 1.0]


async def test_sigmoid_of_known_values(tmp_path: Path) -> None:
    found = await score_after(tmp_path, {"step": "sigmoid"}, [0.0, math.log(3), -200.0, 200.0])
    np.testing.assert_allclose(found, [0.5, 0.75, 0.0, 1.0], rtol=1e-6)


async def test_platt_of_known_values(tmp_path: Path) -> None:
    # logit(0.5) = 0 and logit(0.8) = ln 4: sigmoid(2 ln 4 + 1) = 16e / (16e + 1).
    step = {"step": "platt", "a": 2, "b": 1}
    found = await score_after(tmp_path, step, [0.5, 0.8])
    expected = [math.e / (math.e + 1), 16 * math.e / (16 * math.e + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


async def test_platt_of_0_and_1_is_finite_and_inside(tmp_path: Path) -> None:
    low, high = await score_after(tmp_path, {"step": "platt", "a": 1, "b": 0}, [0.0, 1.0])
    assert low == pytest.approx(EPSILON, rel=1e-6)
    assert high == pytest.approx(1 - EPSILON, rel=1e-6)
    assert 0 < low < high < 1


@settings(deadline=None)
@given(
    probability=st.floats(0, 1),
    a=st.floats(-50, 50),
    b=st.floats(-50, 50),
)
def test_platt_never_leaves_0_to_1_and_keeps_the_order(
    probability: float, a: float, b: float
) -> None:
    p = np.array([probability, min(1.0, probability + 0.01)])
    calibrated = sigmoid(a * logit(p) + b)
    assert np.isfinite(calibrated).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    assert (calibrated[1] - calibrated[0]) * a >= 0


@settings(deadline=None)
@given(st.floats(1e-6, 1 - 1e-6))
def test_platt_with_1_and_0_changes_nothing(probability: float) -> None:
    assert sigmoid(logit(np.array([probability])))[0] == pytest.approx(probability, rel=1e-9)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.inf])
async def test_platt_fails_the_row_of_no_probability(tmp_path: Path, value: float) -> None:
    step = {"step": "platt", "input": "score", "a": 1, "b": 0}
    columns, failures = await processed(tmp_path, [step], [0.5, value], [{"name": "score"}])
    assert list(failures) == [1]
    assert failures[1].reason is Reason.MODEL_OUTPUT_INVALID
    assert columns["score"].tolist() == [0.5, 0.0]


async def test_threshold_labels_at_or_above(tmp_path: Path) -> None:
    step = {"step": "threshold", "input": "score", "output": "late", "threshold": 0.7,
            "labels": ["no", "yes"]}  # fmt: skip
    values = [0.0, np.nextafter(np.float32(0.7), np.float32(0)), 0.7, 1.0]
    columns, _ = await processed(tmp_path, [step], values, [{"name": "late"}])
    assert columns["late"].tolist() == ["no", "no", "yes", "yes"]


async def test_threshold_of_nan_fails_the_row(tmp_path: Path) -> None:
    step = {"step": "threshold", "input": "score", "output": "late", "labels": ["no", "yes"]}
    columns, failures = await processed(tmp_path, [step], [math.nan, 1.0], [{"name": "late"}])
    assert list(failures) == [0]
    assert failures[0].reason is Reason.MODEL_OUTPUT_INVALID
    assert columns["late"].tolist() == ["", "yes"]


async def test_top_k_makes_labels_and_scores_best_first(tmp_path: Path) -> None:
    step = {"step": "top_k", "input": "scores", "output": "best", "k": 2,
            "labels": ["a", "b", "c", "d"]}  # fmt: skip
    outputs = [{"name": "labels", "column": "best.labels"},
               {"name": "scores", "column": "best.scores"}]  # fmt: skip
    values = [[0.1, 0.5, 0.3, 0.1], [0.4, 0.1, 0.4, 0.1]]
    columns, _ = await processed(tmp_path, [step], values, outputs, SCORES)
    assert columns["labels"].tolist() == [["b", "c"], ["a", "c"]]
    np.testing.assert_allclose(columns["scores"], [[0.5, 0.3], [0.4, 0.4]], rtol=1e-6)


async def test_top_k_reads_its_labels_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "labels.txt").write_text("één\ntwee\ndrie\nvier\n", "utf-8")
    step = {"step": "top_k", "input": "scores", "output": "best", "k": 1,
            "labels_file": "labels.txt"}  # fmt: skip
    outputs = [{"name": "best", "column": "best.labels"}]
    columns, _ = await processed(tmp_path, [step], [[9, 1, 2, 3]], outputs, SCORES)
    assert columns["best"].tolist() == [["één"]]


async def test_top_k_of_nan_fails_the_row(tmp_path: Path) -> None:
    step = {"step": "top_k", "input": "scores", "output": "best", "k": 1, "labels": list("abcd")}
    outputs = [{"name": "best", "column": "best.labels"}]
    values = [[1, 2, math.nan, 0], [1, 2, 3, 0]]
    columns, failures = await processed(tmp_path, [step], values, outputs, SCORES)
    assert list(failures) == [0]
    assert columns["best"].tolist() == [[""], ["c"]]


@settings(deadline=None)
@given(st.data())
def test_largest_equals_a_stable_sort(data: st.DataObject) -> None:
    classes = data.draw(st.integers(1, 12))
    k = data.draw(st.integers(1, classes))
    row = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=classes, max_size=classes)
    scores = np.array(data.draw(st.lists(row, min_size=1, max_size=5)))
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert largest(scores, k).tolist() == expected.tolist()


async def test_a_function_works_on_predictions(tmp_path: Path) -> None:
    step = {"step": "function", "function": "functions:f", "inputs": ["score"],
            "outputs": [{"name": "words", "dtype": "string"}]}  # fmt: skip
    functions = "def f(score):\n    return [f'{s:.1f}' for s in score.tolist()]\n"
    columns, _ = await processed(
        tmp_path, [step], [0.25, 1.0], [{"name": "words"}], functions=functions
    )
    assert columns["words"].tolist() == ["0.2", "1.0"]


async def test_vectors_pass_through_steps_of_numbers(tmp_path: Path) -> None:
    step = {"step": "scale", "input": "scores", "factor": 2}
    columns, _ = await processed(tmp_path, [step], [[1, 2, 3, 4]], [{"name": "scores"}], SCORES)
    assert columns["scores"].tolist() == [[2, 4, 6, 8]]


async def test_columns_of_earlier_hops_arrive_with_their_nulls(tmp_path: Path) -> None:
    fields = {"x": {"type": "double"}, "n": {"type": "int64"}}
    section = {
        "steps": [{"step": "scale", "input": "n", "output": "doubled", "factor": 2},
                  {"step": "threshold", "input": "n", "output": "many", "threshold": 3,
                   "labels": ["few", "many"]}],
        "outputs": [{"name": "doubled"}, {"name": "n"}, {"name": "many"}],
    }  # fmt: skip
    pipeline = written_pipeline(tmp_path, fields, [], ["x"], postprocess=section)
    batch = batch_of(2, {"score": (DType.FLOAT32, np.ones((2, 1), np.float32))})
    present = np.array([True, False])
    batch.columns.extend([column_block("n", DType.INT64, np.array([4, 0]), present)])
    handler = PostprocessHandler(PostprocessSettings())
    columns: Any = await done(handler.handle(batch, compile_postprocess(pipeline)))
    np.testing.assert_array_equal(columns["doubled"], np.array([8, math.nan], np.float32))
    assert columns["n"].tolist() == [4, 0]
    assert columns["many"].tolist() == ["many", ""]
    for name in ("doubled", "n", "many"):
        assert columns.validity(name).tolist() == [True, False]


async def test_rows_that_failed_before_hold_zeros_and_are_not_worked_on(tmp_path: Path) -> None:
    section = {
        "steps": [{"step": "platt", "input": "score", "a": 1, "b": 0}],
        "outputs": [{"name": "score"}],
    }
    pipeline = written_pipeline(tmp_path, postprocess=section)
    scores = np.array([[math.nan], [0.5]], np.float32)
    batch = batch_of(2, {"score": (DType.FLOAT32, scores)})
    batch.rows.fail(0, TailraceError("earlier"))
    handler = PostprocessHandler(PostprocessSettings())
    columns = await done(handler.handle(batch, compile_postprocess(pipeline)))
    assert columns["score"].tolist() == [0.0, 0.5]
    assert list(batch.rows.failures) == [0]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "column 'score' is missing"),
        ({"score": (DType.FLOAT64, np.ones(2))}, "found type float64, expected float32"),
        ({"score": (DType.FLOAT32, np.ones((2, 3)))}, "found shape [3], expected []"),
    ],
)
async def test_a_batch_without_the_models_output_is_refused(
    tmp_path: Path, columns: Any, text: str
) -> None:
    compiled = compile_postprocess(written_pipeline(tmp_path))
    with pytest.raises(InvalidBatch) as refused:
        await done(PostprocessHandler(PostprocessSettings()).handle(batch_of(2, columns), compiled))
    assert text in refused.value.message
    assert refused.value.field == "batch.blocks"


async def test_large_batches_give_what_small_ones_give(tmp_path: Path) -> None:
    section = {
        "steps": [{"step": "platt", "input": "score", "a": 2, "b": 1}],
        "outputs": [{"name": "score"}],
    }
    compiled = compile_postprocess(written_pipeline(tmp_path, postprocess=section))
    scores = np.linspace(-0.1, 1, 40, dtype=np.float32)[:, np.newaxis]
    answers = []
    for offload_cells in (1, 1_000_000):
        batch = batch_of(len(scores), {"score": (DType.FLOAT32, scores)})
        handler = PostprocessHandler(PostprocessSettings(offload_cells=offload_cells))
        columns = await done(handler.handle(batch, compiled))
        answers.append((columns["score"].tolist(), sorted(batch.rows.failures)))
    assert answers[0] == answers[1]
    assert answers[0][1]
