"""Submissions while the queue is down, silent or full: refused, and never acknowledged falsely."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import redis
from google.protobuf.duration_pb2 import Duration

from tailrace.cli.local.errors import ProcessExited
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import GatewaySettings
from tailrace.v1 import prediction_service_pb2_grpc
from tailrace.v1.callback_service_pb2 import ListCallbacksRequest
from tailrace.v1.prediction_service_pb2 import (
    GetPredictionRequest,
    ListPipelinesRequest,
    SubmitPredictionRequest,
    WatchPredictionsRequest,
)
from tests.support.requests import error_info, predict_request
from tests.support.running_mesh import metric_at
from tests.support.submission_gateway import (
    PIPELINE,
    SubmissionGateway,
    gateway_settings,
    submission,
    submission_gateway,
    until,
)
from tests.support.waiting import wait_for
from tests.support.written_pipeline import write_pipeline

CODE = grpc.StatusCode


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[LocalRedis]:
    """A Redis for a queue, to kill and to fill; it keeps everything on disk."""
    data_dir = tmp_path / "redis"
    data_dir.mkdir()
    server = LocalRedis(
        log_path=tmp_path / "redis.log",
        data_dir=data_dir,
        append_only=True,
        append_fsync="always",
    )
    server.start()
    yield server
    server.process.signal(signal.SIGCONT)
    server.stop()


@pytest_asyncio.fixture
async def gateway(own_redis: LocalRedis, tmp_path: Path) -> AsyncIterator[SubmissionGateway]:
    """One with a queue in it."""
    settings = gateway_settings(own_redis.url)
    async with submission_gateway(settings, tmp_path) as running:
        yield running


async def refusal(gateway: SubmissionGateway, timeout_s: float = 10) -> grpc.aio.AioRpcError:
    """Returns how a submission fails."""
    request = SubmitPredictionRequest(submission=submission(idempotency_key="refused"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.predictions.SubmitPrediction(request, timeout=timeout_s)
    return caught.value


async def predicts(gateway: SubmissionGateway) -> bool:
    """Returns whether a synchronous prediction is made."""
    request = predict_request(PIPELINE, {"x": 3.0})
    response = await gateway.predictions.Predict(request, timeout=5)
    return bool(response.prediction["score"].double_value == 3.0)


async def accepts(gateway: SubmissionGateway) -> bool:
    """Returns whether a submission is taken."""
    try:
        await gateway.submit(submission())
    except grpc.aio.AioRpcError as error:
        assert error_info(error).reason == "QUEUE_UNAVAILABLE"
        return False
    return True


async def test_a_queue_that_is_gone_refuses_and_one_that_is_back_has_everything(
    gateway: SubmissionGateway, own_redis: LocalRedis
) -> None:
    acknowledged = [await gateway.submit(submission(float(n))) for n in range(50)]
    own_redis.kill()
    failure = await refusal(gateway)
    assert failure.code() is CODE.UNAVAILABLE
    assert error_info(failure).reason == "QUEUE_UNAVAILABLE"
    get = GetPredictionRequest(prediction_id=acknowledged[0].prediction_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.predictions.GetPrediction(get, timeout=5)
    assert error_info(caught.value).reason == "QUEUE_UNAVAILABLE"
    assert await predicts(gateway)

    own_redis.launch()
    await asyncio.to_thread(own_redis.wait_ready)
    await until(lambda: accepts(gateway))
    found = await gateway.queue.submissions.get(
        [each.prediction_id for each in acknowledged], outcomes=False
    )
    assert all(stored is not None for stored in found)


async def test_a_silent_queue_acknowledges_nothing_and_what_it_wrote_is_found_again(
    gateway: SubmissionGateway, own_redis: LocalRedis
) -> None:
    await gateway.submit(submission())
    own_redis.process.signal(signal.SIGSTOP)
    failure = await refusal(gateway, timeout_s=1)
    assert failure.code() is CODE.DEADLINE_EXCEEDED
    assert await predicts(gateway)
    own_redis.process.signal(signal.SIGCONT)

    again = await gateway.submit(submission(idempotency_key="refused"))
    assert again.already_submitted
    assert len(await gateway.claim()) == 2


async def test_a_queue_out_of_memory_refuses(
    gateway: SubmissionGateway, own_redis: LocalRedis
) -> None:
    earlier = await gateway.submit(submission())
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 1)
        failure = await refusal(gateway)
        assert failure.code() is CODE.UNAVAILABLE
        assert error_info(failure).reason == "QUEUE_UNAVAILABLE"
        assert await predicts(gateway)
        get = GetPredictionRequest(prediction_id=earlier.prediction_id)
        await gateway.predictions.GetPrediction(get, timeout=5)
        client.config_set("maxmemory", 0)
    await until(lambda: accepts(gateway))
    assert not (await gateway.submit(submission(idempotency_key="refused"))).already_submitted


async def test_a_queue_that_cannot_save_refuses(
    gateway: SubmissionGateway, own_redis: LocalRedis, tmp_path: Path
) -> None:
    # Where a snapshot fails, Redis takes no writes (MISCONF): here its file is a folder.
    (tmp_path / "redis" / "folder.rdb").mkdir()
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("save", "3600 1")
        client.config_set("dbfilename", "folder.rdb")
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        failure = await refusal(gateway)
        assert failure.code() is CODE.UNAVAILABLE
        assert error_info(failure).reason == "QUEUE_UNAVAILABLE"
        assert await predicts(gateway)
        client.config_set("stop-writes-on-bgsave-error", "no")
    await until(lambda: accepts(gateway))
    assert not (await gateway.submit(submission(idempotency_key="refused"))).already_submitted
    with redis.Redis.from_url(own_redis.url) as client:
        # Else it does not end before it has saved.
        client.config_set("save", "")


async def test_long_polls_and_watches_outlive_a_restart_of_the_queue(
    gateway: SubmissionGateway, own_redis: LocalRedis
) -> None:
    submitted = await gateway.submit(submission())
    get = GetPredictionRequest(prediction_id=submitted.prediction_id, wait=Duration(seconds=60))
    poll = asyncio.ensure_future(gateway.predictions.GetPrediction(get, timeout=90))
    watch = gateway.predictions.WatchPredictions(WatchPredictionsRequest())
    assert (await watch.read()).position
    await asyncio.wait([poll], timeout=0.3)
    assert not poll.done()
    own_redis.kill()
    own_redis.launch()
    await asyncio.to_thread(own_redis.wait_ready)
    await until(lambda: accepts(gateway))
    await gateway.run_all()
    assert (await poll).prediction.prediction_id == submitted.prediction_id
    told = await watch.read()
    assert len(told.changes) >= 1
    watch.cancel()


async def test_what_a_gateway_wrote_before_it_died_is_found_again(
    gateway: SubmissionGateway, own_redis: LocalRedis, tmp_path: Path
) -> None:
    process = MeshProcess(
        "gateway",
        run_dir=tmp_path,
        settings={
            "TAILRACE_PIPELINES_DIR": str(write_pipeline(tmp_path)),
            "TAILRACE_QUEUE_REDIS_URL": own_redis.url,
            "TAILRACE_QUEUE_KEY_PREFIX": gateway.settings.queue_key_prefix,
            "TAILRACE_QUEUE_PARTITIONS": str(gateway.settings.queue_partitions),
        },
    )
    process.launch()
    try:
        await asyncio.to_thread(process.wait_ready)
        async with grpc.aio.insecure_channel(process.target) as channel:
            stub: Any = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = SubmitPredictionRequest(submission=submission(idempotency_key="first"))
            await stub.SubmitPrediction(request, timeout=10)
            own_redis.process.signal(signal.SIGSTOP)
            request = SubmitPredictionRequest(submission=submission(idempotency_key="second"))
            call = stub.SubmitPrediction(request, timeout=30)
            writes = f"{names.SUBMISSION_GROUP_ROWS}_count"

            async def has_written() -> bool:
                # The second look, a turn of its loop later, is for what follows the counting.
                counted = metric_at(process.metrics_port, writes) == 2
                await stub.ListPipelines(ListPipelinesRequest(), timeout=5)
                return counted

            await until(has_written)
            process.kill()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is CODE.UNAVAILABLE
    finally:
        process.kill()
        own_redis.process.signal(signal.SIGCONT)
    # Redis has read by now what the gateway had sent before it died.
    again = await gateway.submit(submission(idempotency_key="second"))
    assert again.already_submitted
    assert len(await gateway.claim()) == 2


async def test_a_gateway_does_not_start_on_a_queue_that_would_forget(
    own_redis: LocalRedis, tmp_path: Path
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    process = MeshProcess(
        "gateway",
        run_dir=tmp_path,
        settings={
            "TAILRACE_PIPELINES_DIR": str(write_pipeline(tmp_path)),
            "TAILRACE_QUEUE_REDIS_URL": own_redis.url,
        },
    )
    try:
        process.launch()
        with pytest.raises(ProcessExited) as caught:
            await asyncio.to_thread(process.wait_ready)
    finally:
        process.kill()
    assert any("noeviction" in line for line in caught.value.last_lines)


async def test_a_gateway_starts_without_its_queue(own_redis: LocalRedis, tmp_path: Path) -> None:
    own_redis.kill()
    async with submission_gateway(gateway_settings(own_redis.url), tmp_path) as gateway:
        assert await predicts(gateway)
        assert error_info(await refusal(gateway)).reason == "QUEUE_UNAVAILABLE"
        own_redis.launch()
        await asyncio.to_thread(own_redis.wait_ready)
        await until(lambda: accepts(gateway))


async def test_a_gateway_without_a_queue_says_so(tmp_path: Path) -> None:
    async with submission_gateway(GatewaySettings(), tmp_path) as gateway:
        assert await predicts(gateway)
        calls = (
            gateway.predictions.SubmitPrediction(SubmitPredictionRequest(), timeout=5),
            gateway.predictions.GetPrediction(GetPredictionRequest(), timeout=5),
            gateway.predictions.WatchPredictions(WatchPredictionsRequest(), timeout=5).read(),
            gateway.callbacks.ListCallbacks(ListCallbacksRequest(), timeout=5),
        )
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is CODE.UNIMPLEMENTED
            assert error_info(caught.value).reason == "NO_QUEUE"
