"""The inference service in front of a real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import numpy as np
import pytest
import pytest_asyncio

from tailrace.cli.local.local_triton import LocalTriton
from tailrace.runtime.columns import Block, Columns, DType
from tests.support.inference_service import (
    RunningInference,
    feature_batch,
    inference_settings,
    reason_of,
    serve_inference,
    write_pipeline,
)
from tests.support.triton_metrics import inference_count, request_count
from tests.support.waiting import wait_for

WEIGHTS = np.array([1, 10, 100, 1000], dtype=np.float32)


@pytest_asyncio.fixture
async def service(triton_server: LocalTriton, tmp_path: Path) -> AsyncIterator[RunningInference]:
    folder = tmp_path / "pipelines"
    write_pipeline(folder, "sum", {"version": "1"})
    write_pipeline(folder, "latest", {})
    write_pipeline(folder, "split", {"version": {"weights": {"1": 75, "2": 25}}})
    write_pipeline(folder, "one-of-two", {"version": {"weights": {"1": 50, "7": 50}}})
    write_pipeline(folder, "absent", {"name": "no_such_model"})
    write_pipeline(folder, "absent-version", {"version": "7"})
    write_pipeline(folder, "slow", {"name": "slow"})
    write_pipeline(folder, "nan", {"name": "nan"})
    features = {"name": "features", "dtype": "float32", "columns": ["x0", "x1", "x2"]}
    write_pipeline(folder, "narrow", {"inputs": [features]})
    settings = inference_settings(folder, triton_url=triton_server.grpc_target)
    async with serve_inference(settings) as running:
        await running.until_serving()
        yield running


def random_features(rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    integers = np.random.default_rng(rows).integers(0, 10, (rows, 4))
    return integers.astype(np.float32)


async def test_answers_every_row_in_the_models_column_order(service: RunningInference) -> None:
    features = random_features(5)
    answer = await service.infer(feature_batch("sum", features))
    assert answer.scores == (features @ WEIGHTS).tolist()
    assert (answer.model, answer.versions) == ("echo_sum", ["1"])
    assert answer.batch.columns["score"].shape == (5, 1)
    assert len(answer.batch.rows) == 5


async def test_answers_are_the_same_for_any_order_of_blocks(service: RunningInference) -> None:
    features = random_features(7)
    batch = feature_batch("sum", features)
    x = features.T
    batch.columns = Columns(
        7,
        [
            Block(("x3",), DType.INT64, x[3:4].astype(np.int64)),
            Block(("unused", "x2", "x0"), DType.FLOAT64, x[[1, 2, 0]].astype(np.float64)),
            Block(("x1",), DType.FLOAT32, np.ascontiguousarray(x[1:2])),
        ],
    )
    answer = await service.infer(batch)
    assert answer.scores == (features @ WEIGHTS).tolist()


async def test_a_batch_beyond_the_models_batch_size_is_split(service: RunningInference) -> None:
    features = random_features(333)
    answer = await service.infer(feature_batch("sum", features))
    assert answer.scores == (features @ WEIGHTS).tolist()
    assert answer.versions == ["1"]


async def test_a_row_with_nan_fails_alone_and_names_its_column(service: RunningInference) -> None:
    features = random_features(4)
    features[1, 2] = np.nan
    features[3, 0] = np.inf
    answer = await service.infer(feature_batch("sum", features))
    assert answer.codes == {
        1: "INVALID_ARGUMENT INVALID_FIELD",
        3: "INVALID_ARGUMENT INVALID_FIELD",
    }
    assert [answer.batch.rows.failures[row].field for row in (1, 3)] == ["x2", "x0"]
    assert [answer.scores[row] for row in (0, 2)] == (features[[0, 2]] @ WEIGHTS).tolist()


async def test_rows_that_have_failed_before_are_not_sent(
    service: RunningInference, triton_server: LocalTriton
) -> None:
    before = inference_count(triton_server, "echo_sum")
    features = random_features(4)
    batch = feature_batch("sum", features, remaining_ms=[5000, -1, 5000, -1])
    answer = await service.infer(batch)
    assert answer.codes == dict.fromkeys((1, 3), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED")
    assert [answer.scores[row] for row in (0, 2)] == (features[[0, 2]] @ WEIGHTS).tolist()
    # Triton counts a moment after it has answered.
    wait_for(lambda: inference_count(triton_server, "echo_sum") == before + 2)


async def test_triton_is_not_called_if_every_row_is_late(
    service: RunningInference, triton_server: LocalTriton
) -> None:
    before = request_count(triton_server, "echo_sum")
    answer = await service.infer(feature_batch("sum", random_features(3), remaining_ms=0))
    assert set(answer.codes.values()) == {"DEADLINE_EXCEEDED DEADLINE_EXCEEDED"}
    assert list(answer.batch.columns) == []
    assert request_count(triton_server, "echo_sum") == before


async def test_a_row_answered_with_nan_or_infinity_fails_alone(service: RunningInference) -> None:
    features = [[0, 5, 0, 0], [1, 5, 0, 0], [2, 5, 0, 0], [0, 7, 0, 0]]
    answer = await service.infer(feature_batch("nan", features))
    assert answer.codes == dict.fromkeys((1, 2), "INTERNAL MODEL_OUTPUT_INVALID")
    assert [answer.scores[row] for row in (0, 3)] == [5, 7]


async def test_an_answer_of_the_wrong_shape_fails_the_call(service: RunningInference) -> None:
    error = await service.refused(feature_batch("nan", [[0, 5, 0, 0], [3, 5, 0, 0]]))
    assert reason_of(error) == "INTERNAL MODEL_OUTPUT_INVALID"
    assert "shape [2, 2], not [2, 1]" in str(error.details())


async def test_the_words_of_a_failing_model_stay_in_the_log(
    service: RunningInference, capsys: pytest.CaptureFixture[str]
) -> None:
    error = await service.refused(feature_batch("nan", [[4, 0, 0, 0]]))
    details = str(error.details())
    assert reason_of(error) == "INTERNAL INTERNAL"
    assert "told to fail" not in details
    logged = capsys.readouterr().out
    assert "told to fail" in logged and details.removeprefix("internal error ") in logged


async def test_an_unknown_model_or_version_is_not_found(service: RunningInference) -> None:
    for pipeline in ("absent", "absent-version"):
        error = await service.refused(feature_batch(pipeline, random_features(1)))
        assert reason_of(error) == "NOT_FOUND MODEL_NOT_FOUND"


async def test_a_model_that_does_not_fit_is_told_apart(service: RunningInference) -> None:
    error = await service.refused(feature_batch("narrow", random_features(1)))
    assert reason_of(error) == "FAILED_PRECONDITION MODEL_MISMATCH"
    assert "'features' has shape [-1, 4] in the model, [-1, 3] in the pipeline" in str(
        error.details()
    )


async def test_latest_is_the_highest_version(service: RunningInference) -> None:
    features = random_features(3)
    answer = await service.infer(feature_batch("latest", features))
    assert answer.versions == ["2"]
    assert answer.scores == (-features @ WEIGHTS).tolist()


async def test_weights_share_out_rows_the_same_way_each_time(service: RunningInference) -> None:
    features = random_features(400)
    first = await service.infer(feature_batch("split", features))
    signs = np.array([{"1": 1, "2": -1}[version] for version in first.versions])
    assert first.scores == (features @ WEIGHTS * signs).tolist()
    assert 0.65 < (signs > 0).mean() < 0.85
    again = await service.infer(
        feature_batch(
            "split", features[::-1], request_ids=[f"request-{r}" for r in range(400)][::-1]
        )
    )
    assert again.versions == first.versions[::-1]


async def test_rows_of_a_version_that_is_missing_fail_alone(service: RunningInference) -> None:
    answer = await service.infer(feature_batch("one-of-two", random_features(64)))
    assert set(answer.codes.values()) == {"NOT_FOUND MODEL_NOT_FOUND"}
    assert 10 < len(answer.codes) < 54


async def test_a_slow_model_is_left_at_the_deadline(
    service: RunningInference, triton_server: LocalTriton
) -> None:
    before = inference_count(triton_server, "slow")
    batch = feature_batch("slow", [[3000, 0, 0, 0]], remaining_ms=300)
    error = await service.refused(batch)
    assert reason_of(error) == "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"
    assert inference_count(triton_server, "slow") == before
    # The model goes on by itself: the next test is to find it idle.
    wait_for(lambda: inference_count(triton_server, "slow") == before + 1)


async def test_work_still_queued_at_its_deadline_is_never_done(
    service: RunningInference, triton_server: LocalTriton
) -> None:
    before = inference_count(triton_server, "slow")
    busy = [
        asyncio.create_task(service.infer(feature_batch("slow", [[300, 0, 0, 0]] * 4)))
        for _ in range(4)
    ]
    await asyncio.sleep(0.1)
    error = await service.refused(feature_batch("slow", [[1, 0, 0, 0]], remaining_ms=150))
    assert reason_of(error) == "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"
    await asyncio.gather(*busy)
    assert (await service.infer(feature_batch("slow", [[1, 0, 0, 0]]))).scores == [1]
    wait_for(lambda: inference_count(triton_server, "slow") >= before + 16 + 1)
    await asyncio.sleep(0.1)
    assert inference_count(triton_server, "slow") == before + 16 + 1


async def test_a_full_queue_is_resource_exhausted_with_pushback(service: RunningInference) -> None:
    async def outcome() -> str:
        try:
            # Whichever comes first: the others are all there before it is done.
            await service.infer(feature_batch("slow", [[400, 0, 0, 0]] * 4))
        except grpc.aio.AioRpcError as error:
            pushback = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
            return f"{reason_of(error)} {pushback!s}"
        return "OK"

    # One at the model's only instance, 8 waiting, as its configuration says.
    outcomes = await asyncio.gather(*(outcome() for _ in range(14)))
    refused = "RESOURCE_EXHAUSTED MODEL_QUEUE_FULL 50"
    assert sorted(outcomes) == ["OK"] * 9 + [refused] * 5
    assert (await service.infer(feature_batch("slow", [[1, 0, 0, 0]]))).scores == [1]
