"""What Triton says when it cannot answer, and what the backend makes of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from tailrace.cli.local.local_triton import LocalTriton
from tailrace.inference.backend import ModelAnswer, ModelCall, ModelMetadata, TensorInfo
from tailrace.inference.triton_backend import TritonBackend
from tailrace.runtime.columns import DType
from tailrace.runtime.config import InferenceSettings
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    Overloaded,
    Unavailable,
)
from tailrace.v1.batch_pb2 import PRIORITY_CRITICAL, PRIORITY_NORMAL, PRIORITY_SHEDDABLE
from tests.support.triton_fixtures import MODELS_DIR, StartTriton


@pytest_asyncio.fixture
async def backend(triton_server: LocalTriton) -> AsyncIterator[TritonBackend]:
    backend = TritonBackend(InferenceSettings(triton_url=triton_server.grpc_target))
    yield backend
    await backend.close()


def soon() -> Deadline:
    return Deadline.after_s(10)


def call(
    metadata: ModelMetadata, features: object, deadline: Deadline | None = None, priority: int = 0
) -> ModelCall:
    inputs = {"features": np.asarray(features, dtype=np.float32)}
    return ModelCall(metadata, inputs, ("score",), deadline or soon(), priority)


def invented(model: str, version: str) -> ModelMetadata:
    info = TensorInfo("features", DType.FLOAT32, "FP32", (-1, 4))
    return ModelMetadata(model, version, {"features": info}, {})


async def test_metadata_tells_types_shapes_and_scheduling(backend: TritonBackend) -> None:
    metadata = await backend.metadata("slow", "1", soon())
    assert metadata.inputs["features"] == TensorInfo("features", DType.FLOAT32, "FP32", (-1, 4))
    assert metadata.outputs["score"].shape == (-1, 1)
    assert (metadata.max_rows, metadata.max_queue, metadata.calls_at_once) == (4, 8, 1)
    assert metadata.takes_timeout
    plain = await backend.metadata("echo_sum", "2", soon())
    assert (plain.max_rows, plain.max_queue, plain.calls_at_once) == (64, 0, 0)


async def test_ready_versions_are_in_ascending_order(backend: TritonBackend) -> None:
    assert await backend.ready_versions("echo_sum", soon()) == ("1", "2")


async def test_a_model_that_never_was_is_not_found(backend: TritonBackend) -> None:
    with pytest.raises(NotFound):
        await backend.ready_versions("no_such_model", soon())


@pytest.mark.parametrize("model, version", [("gone", "1"), ("echo_sum", "9")])
async def test_a_version_that_is_gone_when_called_is_unavailable(
    backend: TritonBackend, model: str, version: str
) -> None:
    with pytest.raises(Unavailable):
        await backend.infer(call(invented(model, version), [[1, 2, 3, 4]]))


async def test_an_input_of_another_shape_is_a_mismatch(backend: TritonBackend) -> None:
    metadata = await backend.metadata("echo_sum", "1", soon())
    with pytest.raises(FailedPrecondition, match=r"Expected \[-1,4\], got \[1,3\]"):
        await backend.infer(call(metadata, [[1, 2, 3]]))


async def test_triton_is_not_called_without_time_left(backend: TritonBackend) -> None:
    metadata = await backend.metadata("echo_sum", "1", soon())
    with pytest.raises(DeadlineExceeded):
        await backend.infer(call(metadata, [[1, 2, 3, 4]], Deadline.after_s(0)))


async def test_tritons_full_queue_is_overloaded(backend: TritonBackend) -> None:
    metadata = await backend.metadata("slow", "1", soon())
    calls = [backend.infer(call(metadata, [[150, 0, 0, 0]] * 4)) for _ in range(16)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ModelAnswer, Overloaded}


async def test_tritons_queue_timeout_is_deadline_exceeded(
    tmp_path: Path, start_triton: StartTriton
) -> None:
    slow = tmp_path / "models" / "slow"
    shutil.copytree(MODELS_DIR / "slow", slow)
    config = (slow / "config.pbtxt").read_text()
    assert "default_timeout_microseconds: 60000000" in config
    (slow / "config.pbtxt").write_text(config.replace("60000000", "100000"))
    server = start_triton(model_repository=slow.parent, models=["slow"])
    backend = TritonBackend(InferenceSettings(triton_url=server.grpc_target))
    metadata = await backend.metadata("slow", "1", soon())
    first = asyncio.create_task(backend.infer(call(metadata, [[300, 0, 0, 0]])))
    await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceeded):
        await backend.infer(call(metadata, [[1, 0, 0, 0]]))
    assert (await first).outputs["score"].tolist() == [[300]]
    await backend.close()


async def test_a_dead_model_process_is_unavailable(start_triton: StartTriton) -> None:
    server = start_triton(models=["echo_sum"])
    backend = TritonBackend(InferenceSettings(triton_url=server.grpc_target))
    metadata = await backend.metadata("echo_sum", "1", soon())
    for child in psutil.Process(server.process.pid).children(recursive=True):
        child.kill()
    with pytest.raises(Unavailable):
        await backend.infer(call(metadata, [[1, 2, 3, 4]]))
    await backend.close()


async def test_priorities_reach_a_model_that_has_levels(
    tmp_path: Path, start_triton: StartTriton
) -> None:
    slow = tmp_path / "models" / "slow"
    shutil.copytree(MODELS_DIR / "slow", slow)
    config = (slow / "config.pbtxt").read_text()
    levels = "dynamic_batching {\n  priority_levels: 3\n  default_priority_level: 2"
    (slow / "config.pbtxt").write_text(config.replace("dynamic_batching {", levels))
    server = start_triton(model_repository=slow.parent, models=["slow"])
    backend = TritonBackend(InferenceSettings(triton_url=server.grpc_target))
    metadata = await backend.metadata("slow", "1", soon())
    assert metadata.priority_levels == 3
    order: list[int] = []

    async def run(priority: int) -> None:
        await backend.infer(call(metadata, [[50, 0, 0, 0]] * 4, priority=priority))
        order.append(priority)

    running = [asyncio.create_task(run(PRIORITY_NORMAL))]
    await asyncio.sleep(0.02)
    for priority in (PRIORITY_SHEDDABLE, PRIORITY_SHEDDABLE, PRIORITY_CRITICAL):
        running.append(asyncio.create_task(run(priority)))
        await asyncio.sleep(0.005)
    await asyncio.gather(*running)
    assert order == [PRIORITY_NORMAL, PRIORITY_CRITICAL, PRIORITY_SHEDDABLE, PRIORITY_SHEDDABLE]
    await backend.close()
