"""Deadlines: spent, too small, absent, too long, and callers who go away."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from tailrace.v1 import ledger_pb2, prediction_service_pb2_grpc
from tests.support.requests import error_info, predict_request
from tests.support.triton_metrics import inference_count, request_count
from tests.support.waiting import wait_for

CODE = grpc.StatusCode


def _echo(**fields: Any) -> Any:
    return predict_request("echo", {"x0": 1.0, "account": "account-1", **fields})


async def _fails(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("seconds", [0, -5])
async def test_a_deadline_spent_on_arrival_reaches_no_hop(
    start_mesh: Any, redis_server: Any, triton_server: Any, seconds: Any
) -> None:
    mesh = start_mesh(redis_server, triton_server, {"all": {"TAILRACE_LOG_SAMPLE_RATE": "1"}})
    before = request_count(triton_server, "echo_sum")
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = _echo()
        request.request_id = "spent"
        # The request's own timeout: a call whose deadline is spent never leaves the client.
        request.timeout.CopyFrom(Duration(seconds=seconds))
        error = await _fails(stub.Predict(request, timeout=5))
    assert error.code() is CODE.DEADLINE_EXCEEDED
    assert error_info(error).reason == "DEADLINE_EXCEEDED"
    assert request_count(triton_server, "echo_sum") == before
    for name, process in mesh.processes.items():
        process.stop()
        assert ("spent" in mesh.log(name)) == (name == "gateway")


async def test_too_little_left_before_inference_never_reaches_triton(
    predictions: Any, triton_server: Any
) -> None:
    before = request_count(triton_server, "echo_sum")
    # Ingest takes 100 ms, which leaves less than inference's floor of 5 ms.
    request = _echo(delay_ms=100.0)
    request.timeout.CopyFrom(Duration(nanos=104_000_000))
    error = await _fails(predictions.Predict(request, timeout=5))
    assert error.code() is CODE.DEADLINE_EXCEEDED
    assert error_info(error).reason in ("BUDGET_TOO_SMALL", "DEADLINE_EXCEEDED")
    assert request_count(triton_server, "echo_sum") == before


async def test_a_budget_below_the_floor_says_so(predictions: Any, triton_server: Any) -> None:
    before = request_count(triton_server, "echo_sum")
    request = predict_request("tight", {"x0": 1.0})
    error = await _fails(predictions.Predict(request, timeout=0.5))
    assert error.code() is CODE.DEADLINE_EXCEEDED
    assert error_info(error).reason == "BUDGET_TOO_SMALL"
    assert "before inference" in error.details()
    assert request_count(triton_server, "echo_sum") == before


async def test_without_a_deadline_the_pipelines_default_holds(predictions: Any) -> None:
    answer = await predictions.Predict(_echo())
    assert answer.ledger.deadline_ns == 5_000_000_000
    for entry in answer.ledger.entries:
        assert 0 < entry.budget_ns <= 5_000_000_000


async def test_a_one_day_deadline_is_clamped_to_the_maximum(predictions: Any) -> None:
    answer = await predictions.Predict(_echo(), timeout=86_400)
    assert answer.ledger.deadline_ns == 10_000_000_000
    for entry in answer.ledger.entries:
        assert 0 < entry.budget_ns <= 10_000_000_000


async def test_the_caller_is_answered_when_the_model_outlasts_the_deadline(
    predictions: Any, triton_server: Any
) -> None:
    # Whatever other tests have taught the gateway about this model, it is quick now.
    for _ in range(40):
        await predictions.Predict(predict_request("slow", {"model_ms": 0.0}), timeout=10)
    before = inference_count(triton_server, "slow")
    error = await _fails(
        predictions.Predict(predict_request("slow", {"model_ms": 6000.0}), timeout=1)
    )
    assert error.code() is CODE.DEADLINE_EXCEEDED
    # The model is still at it.
    assert inference_count(triton_server, "slow") == before
    await asyncio.to_thread(wait_for, lambda: inference_count(triton_server, "slow") > before)


async def test_a_model_that_was_slow_once_is_called_again(
    start_mesh: Any, redis_server: Any, triton_server: Any
) -> None:
    mesh = start_mesh(redis_server, triton_server)
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        await stub.Predict(predict_request("slow", {"model_ms": 3000.0}), timeout=10)
        quick = predict_request("slow", {"model_ms": 0.0})
        error = await _fails(stub.Predict(quick, timeout=1))
        assert error_info(error).reason == "BUDGET_TOO_SMALL"

        # Nothing is called, so that only doubt can tell that the model is quick again.
        async def is_called() -> None:
            while True:
                try:
                    await stub.Predict(quick, timeout=1)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)
                else:
                    return

        await asyncio.wait_for(is_called(), 30)


async def test_a_slow_features_hop_degrades_where_the_pipeline_says_so(
    start_mesh: Any, start_redis: Any, triton_server: Any
) -> None:
    redis = start_redis()
    mesh = start_mesh(redis, triton_server)
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = await stub.Predict(_echo(), timeout=5)
        assert answer.prediction["score"].double_value == 4301.0
        # Only now: the first lookup connects, which may take longer than this.
        mesh.change_pipeline("echo", "budgets:\n", "budgets:\n  features: {cap_ms: 50}\n")
        redis.process.signal(19)  # SIGSTOP: connected, and silent
        try:
            answer = await stub.Predict(_echo(), timeout=5)
        finally:
            redis.process.signal(18)
        # The defaults of the view stand in: 1 + 100 * -1 + 1000 * -2.
        assert answer.prediction["score"].double_value == -2099.0
        (reason,) = answer.quality_reasons
        assert reason.hop == ledger_pb2.HOP_FEATURES
        features = next(
            entry for entry in answer.ledger.entries if entry.hop == ledger_pb2.HOP_FEATURES
        )
        assert features.code == CODE.DEADLINE_EXCEEDED.value[0]
        assert features.duration_ns >= 45e6
        # Of the two beside each other the later one to end is critical, whichever it is.
        ends = {
            entry.start_ns + entry.duration_ns: entry.critical
            for entry in answer.ledger.entries
            if entry.hop in (ledger_pb2.HOP_INGEST, ledger_pb2.HOP_FEATURES)
        }
        assert [ends[end] for end in sorted(ends)] == [False, True]


async def test_too_little_left_for_features_degrades_where_the_pipeline_says_so(
    start_mesh: Any, redis_server: Any, triton_server: Any
) -> None:
    mesh = start_mesh(redis_server, triton_server)
    mesh.change_pipeline("sequential", "on_failure: fail", "on_failure: defaults")
    mesh.change_pipeline(
        "sequential", "deadline:", "budgets: {features: {floor_ms: 9000}}\ndeadline:"
    )
    fields = {"number": 2, "vector": np.ones(4, np.float32)}
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = await stub.Predict(predict_request("sequential", fields), timeout=5)
    assert answer.prediction["score"].double_value == 1111.0
    assert answer.prediction["a"].double_value == -1.0
    (reason,) = answer.quality_reasons
    assert "BUDGET_TOO_SMALL" in reason.detail
    features = next(
        entry for entry in answer.ledger.entries if entry.hop == ledger_pb2.HOP_FEATURES
    )
    assert features.attempts == 0


async def test_a_cancelled_call_frees_every_hop(
    predictions: Any, mesh: Any, triton_server: Any
) -> None:
    before = inference_count(triton_server, "slow")
    call = predictions.Predict(predict_request("slow", {"model_ms": 6000.0}), timeout=10)
    task = asyncio.ensure_future(_fails_or_cancelled(call))
    await asyncio.to_thread(wait_for, lambda: _in_flight(mesh, "inference") == 1)
    call.cancel()
    await task
    await asyncio.to_thread(
        wait_for,
        lambda: all(_in_flight(mesh, name) == 0 for name in ("gateway", "inference")),
    )
    # Every process of ours has let go; the model, which cannot be stopped, is still at it.
    assert inference_count(triton_server, "slow") == before
    await asyncio.to_thread(wait_for, lambda: inference_count(triton_server, "slow") > before)


async def _fails_or_cancelled(call: Any) -> None:
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await call


def _in_flight(mesh: Any, name: Any) -> Any:
    return mesh.metric(name, "tailrace_rpc_server_calls_in_flight")
