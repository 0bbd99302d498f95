"""The inference service with ONNX Runtime in its own process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import numpy as np
import pytest
import pytest_asyncio

from tailrace.cli.local.local_triton import LocalTriton
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns, DType, column_block
from tests.support.inference_service import (
    RunningInference,
    feature_batch,
    inference_settings,
    reason_of,
    serve_inference,
    write_pipeline,
)
from tests.support.onnx_models import (
    WEIGHTS,
    write_heavy_model,
    write_log_model,
    write_sum_model,
    write_text_model,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository = tmp_path / "models"
    write_sum_model(repository, "echo_sum", 1)
    write_sum_model(repository, "echo_sum", 2, [-weight for weight in WEIGHTS])
    write_log_model(repository, "log")
    write_heavy_model(repository, "heavy")
    write_text_model(repository, "text")
    return repository


@pytest.fixture
def pipelines(tmp_path: Path) -> Path:
    folder = tmp_path / "pipelines"
    write_pipeline(folder, "sum", {"version": "1"})
    write_pipeline(folder, "latest", {})
    write_pipeline(folder, "split", {"version": {"weights": {"1": 75, "2": 25}}})
    write_pipeline(folder, "absent", {"name": "no_such_model"})
    write_pipeline(folder, "outside", {"name": "../models/echo_sum"})
    write_pipeline(folder, "log", {"name": "log"})
    write_pipeline(folder, "heavy", {"name": "heavy"})
    wide = {"name": "features", "dtype": "float64", "columns": ["x0"]}
    write_pipeline(folder, "misfit", {"inputs": [wide]})
    write_pipeline(
        folder,
        "text",
        {
            "name": "text",
            "inputs": [{"name": "text", "dtype": "string", "column": "words"}],
            "outputs": [{"name": "said", "dtype": "string", "shape": []}],
        },
        request={"fields": {"words": {"type": "string", "required": True}}},
    )
    return folder


@pytest_asyncio.fixture
async def service(repository: Path, pipelines: Path) -> AsyncIterator[RunningInference]:
    settings = inference_settings(
        pipelines, inference_backend="onnxruntime", model_repository=repository
    )
    async with serve_inference(settings) as running:
        await running.until_serving()
        yield running


async def test_both_backends_answer_alike(
    service: RunningInference, pipelines: Path, triton_server: LocalTriton
) -> None:
    rng = np.random.default_rng(7)
    settings = inference_settings(pipelines, triton_url=triton_server.grpc_target)
    async with serve_inference(settings) as with_triton:
        await with_triton.until_serving()
        for pipeline in ("sum", "latest", "split"):
            for rows in (1, 40):
                values = rng.integers(-9, 9, (rows, 4)).astype(np.float32)
                ours = await service.infer(feature_batch(pipeline, values))
                theirs = await with_triton.infer(feature_batch(pipeline, values))
                assert ours.scores == theirs.scores
                assert (ours.model, ours.versions) == (theirs.model, theirs.versions)
        for pipeline in ("absent", "misfit"):
            batch = feature_batch(pipeline, [[1, 2, 3, 4]])
            ours_refused = reason_of(await service.refused(batch))
            assert ours_refused == reason_of(await with_triton.refused(batch))


async def test_a_row_answered_with_nan_or_infinity_fails_alone(service: RunningInference) -> None:
    answer = await service.infer(feature_batch("log", [[1, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0]]))
    assert answer.codes == dict.fromkeys((1, 2), "INTERNAL MODEL_OUTPUT_INVALID")
    assert answer.scores[0] == 0


async def test_text_goes_in_and_comes_out_as_it_is(service: RunningInference) -> None:
    batch = feature_batch("text", [[0]] * 3, names=["unused"])
    words = np.array(["", "déjà vu", "a\0b"], dtype=object)
    batch.columns = Columns(3, [column_block("words", DType.STRING, words)])
    answer = await service.infer(batch)
    assert answer.batch.columns["said"].tolist() == words.tolist()


async def test_a_model_name_cannot_lead_out_of_the_repository(service: RunningInference) -> None:
    error = await service.refused(feature_batch("outside", [[1, 2, 3, 4]]))
    assert reason_of(error) == "NOT_FOUND MODEL_NOT_FOUND"


async def test_a_new_version_is_served_without_a_restart(
    service: RunningInference, repository: Path
) -> None:
    write_sum_model(repository, "echo_sum", 10, [2, 0, 0, 0])
    async with asyncio.timeout(30):
        while True:
            answer = await service.infer(feature_batch("latest", [[4, 0, 0, 0]]))
            if answer.versions == ["10"]:
                break
            assert answer.versions == ["2"]
            await asyncio.sleep(0.02)
    assert answer.scores == [8]
    shutil.rmtree(repository / "echo_sum" / "10")
    async with asyncio.timeout(30):
        while answer.versions != ["2"]:
            await asyncio.sleep(0.02)
            answer = await service.infer(feature_batch("latest", [[4, 0, 0, 0]]))


async def test_a_model_that_does_not_fit_is_told_apart(service: RunningInference) -> None:
    error = await service.refused(feature_batch("misfit", [[1, 2, 3, 4]]))
    assert reason_of(error) == "FAILED_PRECONDITION MODEL_MISMATCH"
    assert "is tensor(float) in the model, float64 in the pipeline" in str(error.details())


async def test_a_broken_file_is_unavailable_until_it_is_mended(
    service: RunningInference, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = repository / "no_such_model" / "1" / "model.onnx"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a model")
    batch = feature_batch("absent", [[1, 2, 3, 4]])
    assert await answer_other_than("NOT_FOUND MODEL_NOT_FOUND", service, batch) == (
        "UNAVAILABLE MODEL_UNAVAILABLE"
    )
    await asyncio.sleep(0.3)
    assert capsys.readouterr().out.count("InvalidProtobuf") < 5
    shutil.rmtree(broken.parents[1])
    write_sum_model(repository, "no_such_model")
    refused = ("UNAVAILABLE MODEL_UNAVAILABLE", "NOT_FOUND MODEL_NOT_FOUND")
    assert await answer_other_than(refused, service, batch) == "OK"


async def test_a_broken_new_version_leaves_the_one_before_it_serving(
    service: RunningInference, repository: Path
) -> None:
    broken = repository / "echo_sum" / "3" / "model.onnx"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a model")
    for _ in range(20):
        answer = await service.infer(feature_batch("latest", [[4, 0, 0, 0]]))
        assert answer.versions == ["2"]
        await asyncio.sleep(0.02)


async def answer_other_than(
    expected: str | tuple[str, ...], service: RunningInference, batch: Batch
) -> str:
    """Returns the first outcome that is none of these."""
    async with asyncio.timeout(30):
        while True:
            try:
                await service.infer(batch)
                return "OK"
            except grpc.aio.AioRpcError as error:
                if reason_of(error) not in expected:
                    return reason_of(error)
            await asyncio.sleep(0.02)


async def test_a_long_run_ends_at_the_deadline_and_blocks_nobody(
    service: RunningInference,
) -> None:
    long = asyncio.create_task(
        service.refused(feature_batch("heavy", [[1, 1, 1, 1]] * 4000, remaining_ms=600))
    )
    await asyncio.sleep(0.1)
    assert (await service.infer(feature_batch("sum", [[1, 2, 3, 4]]))).scores == [4321]
    assert not long.done()
    assert reason_of(await long) == "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"


async def test_calls_beyond_the_queue_are_refused(repository: Path, pipelines: Path) -> None:
    settings = inference_settings(
        pipelines,
        inference_backend="onnxruntime",
        model_repository=repository,
        model_max_in_flight=1,
        model_max_queue=2,
    )

    async def outcome(service: RunningInference) -> str:
        try:
            await service.infer(feature_batch("heavy", [[1, 1, 1, 1]] * 200, remaining_ms=20_000))
        except grpc.aio.AioRpcError as error:
            return reason_of(error)
        return "OK"

    async with serve_inference(settings) as service:
        await service.until_serving()
        outcomes = await asyncio.gather(*(outcome(service) for _ in range(5)))
    refused = "RESOURCE_EXHAUSTED MODEL_QUEUE_FULL"
    assert sorted(outcomes) == ["OK"] * 3 + [refused] * 2
