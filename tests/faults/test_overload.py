"""More than can be served: at the model, and at the gateway's entrance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from tailrace.runtime.columns import DType, column_block
from tailrace.runtime.wire import block_to_proto
from tailrace.v1 import batch_pb2, inference_service_pb2, inference_service_pb2_grpc
from tests.support.requests import error_info, predict_request
from tests.support.running_mesh import RunningMesh
from tests.support.waiting import wait_for

CODE = grpc.StatusCode
Infer = Callable[[float, float], Awaitable[Any]]


async def _outcome(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        pushback = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
        assert (pushback is not None) == (error.code() is CODE.RESOURCE_EXHAUSTED)
        return error.code(), error_info(error).reason
    return CODE.OK, ""


@pytest_asyncio.fixture
async def infer(mesh: RunningMesh) -> AsyncIterator[Infer]:
    """Calls the inference service itself: at the gateway, convoys keep the model's queue short."""
    version = mesh.version("slow")
    async with grpc.aio.insecure_channel(mesh.processes["inference"].target) as channel:
        stub: Any = inference_service_pb2_grpc.InferenceServiceStub(channel)

        async def call(model_ms: float, timeout_s: float) -> Any:
            rows = batch_pb2.RowContexts(
                count=1, request_ids=["r"], remaining_us=[int(timeout_s * 1e6)]
            )
            column = column_block("model_ms", DType.FLOAT32, np.array([model_ms], np.float32))
            batch = batch_pb2.Batch(
                pipeline="slow",
                pipeline_version=version,
                rows=rows,
                blocks=[block_to_proto(column)],
            )
            request = inference_service_pb2.InferRequest(batch=batch)
            return await stub.Infer(request, timeout=timeout_s + 5)

        yield call


async def test_a_full_model_queue_sheds(infer: Infer) -> None:
    # The model takes 4 rows at a time and queues 8 requests; 40 callers cannot all wait.
    outcomes = await asyncio.gather(*(_outcome(infer(500.0, 15.0)) for _ in range(40)))
    shed = [outcome for outcome in outcomes if outcome[0] is not CODE.OK]
    assert shed
    assert set(shed) == {(CODE.RESOURCE_EXHAUSTED, "MODEL_QUEUE_FULL")}
    assert len(outcomes) - len(shed) >= 8


async def test_a_call_expires_in_the_model_queue(infer: Infer, mesh: RunningMesh) -> None:
    long_ones = [asyncio.ensure_future(_outcome(infer(3000.0, 15.0))) for _ in range(2)]
    in_flight = "tailrace_rpc_server_calls_in_flight"
    await asyncio.to_thread(wait_for, lambda: mesh.metric("inference", in_flight) == 2)
    code, _ = await _outcome(infer(0.0, 0.25))
    assert code is CODE.DEADLINE_EXCEEDED
    assert {code for code, _ in await asyncio.gather(*long_ones)} == {CODE.OK}


async def test_a_burst_that_the_model_alone_would_shed_shares_convoys(predictions: Any) -> None:
    request = predict_request("slow", {"model_ms": 100.0})
    calls = (predictions.Predict(request, timeout=15) for _ in range(40))
    answers: list[Any] = await asyncio.gather(*calls)
    assert max(answer.ledger.convoy_rows for answer in answers) > 4


async def test_who_would_wait_too_long_is_refused_and_told_when_to_come_back(
    predictions: Any,
) -> None:
    async def predict(model_ms: float, timeout_s: float) -> Any:
        request = predict_request("slow", {"model_ms": model_ms})
        request.timeout.CopyFrom(Duration(seconds=int(timeout_s)))
        request.timeout.nanos = int(timeout_s % 1 * 1e9)
        return await predictions.Predict(request, timeout=20)

    # It learns how long the chain takes; then the queue is longer than 300 ms.
    await asyncio.gather(*(predict(200.0, 15.0) for _ in range(4)))
    patient = [asyncio.ensure_future(predict(200.0, 15.0)) for _ in range(600)]
    await asyncio.wait(patient, timeout=0.3)
    outcomes = await asyncio.gather(*(_outcome(predict(200.0, 0.3)) for _ in range(5)))
    for task in patient:
        task.cancel()
    await asyncio.wait(patient)
    assert set(outcomes) <= {
        (CODE.RESOURCE_EXHAUSTED, "QUEUE_TOO_LONG"),
        (CODE.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    }
    assert (CODE.RESOURCE_EXHAUSTED, "QUEUE_TOO_LONG") in outcomes
