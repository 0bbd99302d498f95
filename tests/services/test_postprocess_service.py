"""The postprocess service behind its gRPC port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
import pytest_asyncio

from tailrace.postprocess.app import SERVICE, build
from tailrace.runtime.columns import DType, column_block
from tailrace.runtime.config import PostprocessSettings
from tailrace.runtime.wire import block_to_proto
from tailrace.v1 import postprocess_service_pb2, postprocess_service_pb2_grpc, tensor_pb2
from tests.support.hop_server import hop_batch, hop_process, refusal, row_errors, serve_hop
from tests.support.wire_batches import answer_from_proto
from tests.support.written_pipeline import write_pipeline

SECTION = {
    "steps": [
        {"step": "platt", "input": "score", "output": "chance", "a": 1, "b": 0},
        {"step": "threshold", "input": "chance", "output": "late", "labels": ["no", "yes"]},
    ],
    "outputs": [{"name": "probability", "column": "chance", "unit": "1"}, {"name": "late"}],
}


def request_of(scores: Sequence[float], **parts: Any) -> postprocess_service_pb2.PostprocessRequest:
    batch = hop_batch(len(scores), **parts)
    values = np.array(scores, dtype=np.float32)[:, np.newaxis]
    batch.blocks.append(block_to_proto(column_block("score", DType.FLOAT32, values)))
    return postprocess_service_pb2.PostprocessRequest(batch=batch)


@pytest.fixture
def pipelines(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path, postprocess=SECTION)


@pytest_asyncio.fixture
async def stub(pipelines: Path) -> AsyncIterator[Any]:
    settings = PostprocessSettings(pipelines_dir=pipelines, drain_grace_ms=100)
    async with serve_hop(settings, build(settings)) as channel:
        yield postprocess_service_pb2_grpc.PostprocessServiceStub(channel)


async def test_model_outputs_become_the_named_fields(stub: Any) -> None:
    reply = await stub.Postprocess(request_of([0.25, 0.75]), timeout=5)
    columns = answer_from_proto(reply.batch).columns
    assert list(columns) == ["probability", "late"]
    np.testing.assert_allclose(columns["probability"], [0.25, 0.75], rtol=1e-6)
    assert columns["late"].tolist() == ["no", "yes"]
    assert reply.timing.work_ns > 0


async def test_a_bad_output_fails_its_row_only(stub: Any) -> None:
    reply = await stub.Postprocess(request_of([0.25, 7.0, float("nan"), 1.0]), timeout=5)
    assert row_errors(reply.batch) == {
        1: "13 MODEL_OUTPUT_INVALID score",
        2: "13 MODEL_OUTPUT_INVALID chance",
    }
    assert answer_from_proto(reply.batch).columns["late"].tolist() == ["no", "", "", "yes"]


async def test_rows_without_time_left_are_not_worked_on(stub: Any) -> None:
    reply = await stub.Postprocess(request_of([0.1, 0.9], remaining_us=[0, 10**7]), timeout=5)
    assert row_errors(reply.batch) == {0: "4 DEADLINE_EXCEEDED "}


async def test_a_batch_without_the_models_output_is_refused(stub: Any) -> None:
    request = postprocess_service_pb2.PostprocessRequest(batch=hop_batch(1))
    found = await refusal(stub.Postprocess(request, timeout=5))
    assert found == ("INVALID_ARGUMENT", "INVALID_BATCH", "batch.blocks")


@pytest.mark.parametrize(
    ("shape", "data", "part"),
    [
        ([1, -1], b"", "shape"),
        ([1, 2**62], b"", "shape"),
        ([2**62] * 10_000, b"", "shape"),
        ([1, 1], b"\0" * 3, "data"),
    ],
)
async def test_a_bad_block_is_refused_naming_its_part(
    stub: Any, shape: list[int], data: bytes, part: str
) -> None:
    request = request_of([0.5])
    values = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=shape, data=data)
    request.batch.blocks[0].values.CopyFrom(values)
    found = await refusal(stub.Postprocess(request, timeout=5))
    assert found == ("INVALID_ARGUMENT", "INVALID_TENSOR", f"batch.blocks[0].values.{part}")


async def test_an_unknown_pipeline_is_not_found(stub: Any) -> None:
    request = request_of([0.5])
    request.batch.pipeline = "other"
    found = await refusal(stub.Postprocess(request, timeout=5))
    assert found == ("NOT_FOUND", "PIPELINE_NOT_FOUND", "pipeline")


async def test_the_process_serves_and_drains(tmp_path: Path, pipelines: Path) -> None:
    with hop_process(SERVICE, tmp_path, pipelines) as (_, port):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = postprocess_service_pb2_grpc.PostprocessServiceStub(channel)
            reply = await stub.Postprocess(request_of([0.9]), timeout=10)
            assert answer_from_proto(reply.batch).columns["late"].tolist() == ["yes"]
