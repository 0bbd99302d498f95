"""Triton's queue: full, and waited in for too long."""

import asyncio
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from tests.support.requests import error_info, predict_request

CODE = grpc.StatusCode


async def _outcome(predictions: Any, model_ms: Any, timeout_s: Any) -> Any:
    request = predict_request("slow", {"model_ms": model_ms})
    request.timeout.CopyFrom(Duration(nanos=int(timeout_s * 1e9) % 10**9, seconds=int(timeout_s)))
    try:
        await predictions.Predict(request, timeout=20)
    except grpc.aio.AioRpcError as error:
        pushback = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
        assert (pushback is not None) == (error.code() is CODE.RESOURCE_EXHAUSTED)
        return error.code(), error_info(error).reason
    return CODE.OK, ""


async def test_a_full_model_queue_sheds_and_a_long_wait_expires(predictions: Any) -> None:
    # The model takes 4 rows at a time and queues 8 requests; 40 callers cannot all wait.
    outcomes = await asyncio.gather(*(_outcome(predictions, 500.0, 15.0) for _ in range(40)))
    shed = [outcome for outcome in outcomes if outcome[0] is not CODE.OK]
    assert shed
    assert set(shed) == {(CODE.RESOURCE_EXHAUSTED, "MODEL_QUEUE_FULL")}
    assert len(outcomes) - len(shed) >= 8


async def test_a_request_expires_in_the_model_queue(predictions: Any) -> None:
    long_ones = [asyncio.ensure_future(_outcome(predictions, 600.0, 15.0)) for _ in range(2)]
    await asyncio.wait(long_ones, timeout=0.1)
    code, _ = await _outcome(predictions, 0.0, 0.25)
    assert code is CODE.DEADLINE_EXCEEDED
    assert {code for code, _ in await asyncio.gather(*long_ones)} == {CODE.OK}
