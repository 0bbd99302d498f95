"""`PredictStream`: every request of a stream has one result, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.v1 import prediction_service_pb2 as messages
from tailrace.v1 import prediction_service_pb2_grpc as stubs
from tests.support.mesh_fixtures import StartMesh
from tests.support.requests import error_info, predict_request
from tests.support.running_mesh import RunningMesh
from tests.support.waiting import wait_for

CODE = grpc.StatusCode


@pytest.fixture(scope="module")
def small_mesh(
    start_module_mesh: StartMesh, mesh: RunningMesh, triton_server: LocalTriton
) -> Iterator[RunningMesh]:
    """A mesh whose gateway lets a stream have few unanswered requests, and little silence."""
    redis: LocalRedis = mesh.redis
    settings = {
        "gateway": {
            "TAILRACE_STREAM_MAX_UNANSWERED": "64",
            "TAILRACE_STREAM_IDLE_TIMEOUT_MS": "3000",
            "TAILRACE_MAX_BATCH_ROWS": "100",
        }
    }
    yield start_module_mesh(redis, triton_server, settings)


def _echo(number: float, request_id: str = "") -> messages.PredictRequest:
    fields = {"x0": number, "account": "account-1"}
    return predict_request("echo", fields, request_id=request_id)


def _score(number: float) -> float:
    return number + 100 * 3.0 + 1000 * 4.0


async def _send(call: Any, requests: Sequence[messages.PredictRequest]) -> None:
    await call.write(messages.PredictStreamRequest(requests=requests))


async def _results(call: Any) -> list[messages.PredictStreamResult]:
    return [result async for message in call for result in message.results]


async def test_every_request_has_one_result_that_is_its_own(predictions: Any) -> None:
    call = predictions.PredictStream(timeout=30)
    sent = 0
    for size in (1, 32, 7, 100, 60):
        await _send(call, [_echo(float(sent + n), f"r{sent + n}") for n in range(size)])
        sent += size
    await call.done_writing()
    results = await _results(call)
    assert sorted(result.place for result in results) == list(range(sent))
    for result in results:
        assert result.request_id == result.response.request_id == f"r{result.place}"
        score = result.response.prediction["score"].double_value
        assert score == pytest.approx(_score(float(result.place)))


async def test_results_come_in_the_order_in_which_they_are_ready(predictions: Any) -> None:
    call = predictions.PredictStream(timeout=30)
    slow = predict_request("slow", {"model_ms": 1500.0})
    await _send(call, [slow, _echo(1.0), _echo(2.0)])
    await call.done_writing()
    places = [result.place for result in await _results(call)]
    assert sorted(places[:2]) == [1, 2]
    assert places[2] == 0


async def test_one_bad_request_fails_alone(predictions: Any) -> None:
    call = predictions.PredictStream(timeout=30)
    bad = predict_request("echo", {"x0": 1.0, "x1": 5000.0}, request_id="bad")
    unknown = predict_request("nowhere", {}, request_id="lost")
    await _send(call, [_echo(1.0), bad, unknown, _echo(2.0)])
    await call.done_writing()
    results = {result.place: result for result in await _results(call)}
    assert sorted(results) == [0, 1, 2, 3]
    assert error_info(results[1].error).metadata["field"] == "fields.x1"
    assert results[1].request_id == "bad"
    assert error_info(results[2].error).reason == "PIPELINE_NOT_FOUND"
    assert results[2].request_id == "lost"
    for place, number in ((0, 1.0), (3, 2.0)):
        score = results[place].response.prediction["score"].double_value
        assert score == pytest.approx(_score(number))


async def test_a_stream_without_requests_ends_well(predictions: Any) -> None:
    call = predictions.PredictStream(timeout=30)
    await _send(call, [])
    await call.done_writing()
    assert await _results(call) == []
    assert await call.code() is CODE.OK


async def test_cancelling_a_stream_ends_its_requests(
    small_mesh: RunningMesh,
) -> None:
    before = small_mesh.metric("inference", "tailrace_rpc_server_calls_total")
    async with grpc.aio.insecure_channel(small_mesh.target) as channel:
        stub: Any = stubs.PredictionServiceStub(channel)
        call = stub.PredictStream(timeout=30)
        await _send(call, [predict_request("slow", {"model_ms": 20_000.0})])
        # Under way: the gateway has one request that it has not answered.
        wait_for(lambda: small_mesh.metric("gateway", "tailrace_convoys_in_flight") == 1)
        call.cancel()
        # Long before the model's end.
        wait_for(lambda: small_mesh.metric("gateway", "tailrace_convoys_in_flight") == 0, 15)
    wait_for(lambda: small_mesh.metric("inference", "tailrace_rpc_server_calls_total") > before)


async def test_no_more_is_read_than_may_be_unanswered(small_mesh: RunningMesh) -> None:
    def taken() -> float:
        waiting = small_mesh.metric("gateway", "tailrace_queued_rows")
        return waiting + small_mesh.metric("gateway", "tailrace_convoy_rows_sum")

    before = taken()
    async with grpc.aio.insecure_channel(small_mesh.target) as channel:
        stub: Any = stubs.PredictionServiceStub(channel)
        call = stub.PredictStream(timeout=100)
        request = predict_request("slow", {"model_ms": 60_000.0}, tenant="t" * 64)
        message = messages.PredictStreamRequest(requests=[request] * 32)
        writing = asyncio.ensure_future(call.write(message))
        for _ in range(20_000):
            done, _ = await asyncio.wait([writing], timeout=3.0)
            if not done:
                break
            writing = asyncio.ensure_future(call.write(message))
        # The transport takes no more, as the gateway reads no more.
        assert not writing.done()
        assert 0 < taken() - before <= 64 + 32
        call.cancel()
        await asyncio.wait([writing])
        wait_for(lambda: small_mesh.metric("gateway", "tailrace_convoys_in_flight") == 0)


async def test_a_silent_stream_is_ended(small_mesh: RunningMesh) -> None:
    async with grpc.aio.insecure_channel(small_mesh.target) as channel:
        stub: Any = stubs.PredictionServiceStub(channel)
        call = stub.PredictStream(timeout=60)
        await _send(call, [_echo(1.0)])
        results = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for message in call:
                results += message.results
        assert len(results) == 1
        assert caught.value.code() is CODE.DEADLINE_EXCEEDED
        assert "no request came" in str(caught.value.details())


def test_who_takes_no_answer_is_told_so_once_he_does(small_mesh: RunningMesh) -> None:
    def in_flight() -> float:
        return small_mesh.metric("gateway", "tailrace_convoys_in_flight")

    def ask() -> Iterator[messages.PredictStreamRequest]:
        slow = predict_request("slow", {"model_ms": 60_000.0})
        yield messages.PredictStreamRequest(requests=[slow])
        # Refused, and answered with more than the transport takes unread.
        large = [_echo(1.0, "r" * 30_000)] * 101
        for _ in range(20):
            yield messages.PredictStreamRequest(requests=large)

    with grpc.insecure_channel(small_mesh.target) as channel:
        call = stubs.PredictionServiceStub(channel).PredictStream(ask(), timeout=100)
        wait_for(lambda: in_flight() > 0)
        # What was asked is given up.
        wait_for(lambda: in_flight() == 0, 30)

        results: list[messages.PredictStreamResult] = []
        with pytest.raises(grpc.RpcError) as caught:
            for message in call:
                results += message.results
    failure: Any = caught.value
    assert failure.code() is CODE.DEADLINE_EXCEEDED
    assert "nothing was taken" in failure.details()
    # Nothing of a message is lost that was not taken in time.
    assert results
    assert len(results) % 101 == 0


async def test_too_many_requests_in_one_message_are_refused_each(small_mesh: RunningMesh) -> None:
    async with grpc.aio.insecure_channel(small_mesh.target) as channel:
        stub: Any = stubs.PredictionServiceStub(channel)
        call = stub.PredictStream(timeout=60)
        await _send(call, [_echo(1.0, f"r{n}") for n in range(101)])
        await _send(call, [_echo(1.0)])
        await call.done_writing()
        results = {result.place: result for result in await _results(call)}
        assert len(results) == 102
        for place in range(101):
            assert error_info(results[place].error).reason == "LIMIT_EXCEEDED"
        assert results[101].HasField("response")


async def test_bytes_that_are_no_message_end_the_stream(mesh: RunningMesh) -> None:
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        method: Any = channel.stream_stream("/tailrace.v1.PredictionService/PredictStream")
        call = method(timeout=10)
        await call.write(b"\xff\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is CODE.INVALID_ARGUMENT
