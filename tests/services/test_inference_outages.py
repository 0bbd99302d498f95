"""The inference service while Triton comes and goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest
from prometheus_client import REGISTRY
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import Code
from tests.support.inference_service import (
    RunningInference,
    feature_batch,
    inference_settings,
    reason_of,
    serve_inference,
    write_pipeline,
)
from tests.support.triton_fixtures import StartTriton

UNAVAILABLE = "UNAVAILABLE MODEL_UNAVAILABLE"


@pytest.fixture
def pipelines(tmp_path: Path) -> Path:
    folder = tmp_path / "pipelines"
    write_pipeline(folder, "sum", {"version": "1"})
    return folder


async def outcomes_until(stop: asyncio.Event, service: RunningInference) -> list[str]:
    """Returns what each of a stream of calls came to, 50 a second, until told to stop."""
    outcomes = []
    while not stop.is_set():
        try:
            await service.infer(feature_batch("sum", [[1, 2, 3, 4]], remaining_ms=1000))
            outcomes.append("OK")
        except grpc.aio.AioRpcError as error:
            outcomes.append(reason_of(error))
        await asyncio.sleep(0.02)
    return outcomes


async def test_starts_without_triton_and_recovers_by_itself(
    pipelines: Path, start_triton: StartTriton
) -> None:
    triton = start_triton(models=["echo_sum"])
    triton.kill()
    settings = inference_settings(pipelines, triton_url=triton.grpc_target)
    async with serve_inference(settings) as service:
        assert not await service.is_serving()
        error = await service.refused(feature_batch("sum", [[1, 2, 3, 4]]))
        assert reason_of(error) == UNAVAILABLE
        triton.launch()
        await asyncio.to_thread(triton.wait_ready)
        await service.until_serving()
        answer = await service.infer(feature_batch("sum", [[1, 2, 3, 4]]))
        assert answer.scores == [4321]


@pytest.mark.alone
async def test_a_killed_triton_is_unavailable_until_it_is_back(
    pipelines: Path, start_triton: StartTriton
) -> None:
    triton = start_triton(models=["echo_sum"])
    settings = inference_settings(pipelines, triton_url=triton.grpc_target)
    async with serve_inference(settings) as service:
        await service.until_serving()
        stop = asyncio.Event()
        load = [asyncio.create_task(outcomes_until(stop, service)) for _ in range(4)]
        await asyncio.sleep(0.2)
        triton.kill()
        await service.until_serving(False)
        error = await service.refused(feature_batch("sum", [[1, 2, 3, 4]]))
        assert reason_of(error) == UNAVAILABLE
        triton.launch()
        await asyncio.to_thread(triton.wait_ready)
        await service.until_serving()
        await asyncio.sleep(0.2)
        stop.set()
        outcomes = [outcome for one in await asyncio.gather(*load) for outcome in one]
        assert set(outcomes) == {"OK", UNAVAILABLE}
        assert outcomes[-1] == "OK"


async def test_an_unloaded_model_is_unavailable_until_it_is_loaded(
    pipelines: Path, start_triton: StartTriton
) -> None:
    triton = start_triton(models=["echo_sum", "nan"])
    write_pipeline(pipelines, "other", {"name": "nan"})
    settings = inference_settings(pipelines, triton_url=triton.grpc_target)
    async with (
        serve_inference(settings) as service,
        grpc.aio.insecure_channel(triton.grpc_target) as channel,
    ):
        control = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        await service.until_serving()
        stop = asyncio.Event()
        load = asyncio.create_task(outcomes_until(stop, service))
        await asyncio.sleep(0.1)
        unload = service_pb2.RepositoryModelUnloadRequest(model_name="echo_sum")
        await control.RepositoryModelUnload(unload, timeout=10)
        error = await service.refused(feature_batch("sum", [[1, 2, 3, 4]]))
        assert reason_of(error) == UNAVAILABLE
        # The other pipeline's model is there, so the service serves.
        await asyncio.sleep(0.3)
        assert await service.is_serving()
        await control.RepositoryModelUnload(
            service_pb2.RepositoryModelUnloadRequest(model_name="nan"), timeout=10
        )
        await service.until_serving(False)
        for model in ("echo_sum", "nan"):
            await control.RepositoryModelLoad(
                service_pb2.RepositoryModelLoadRequest(model_name=model), timeout=20
            )
        await service.until_serving()
        answer = await service.infer(feature_batch("sum", [[1, 2, 3, 4]]))
        assert answer.scores == [4321]
        stop.set()
        assert set(await load) == {"OK", UNAVAILABLE}


async def test_calls_during_an_outage_do_not_reach_for_the_model(
    pipelines: Path, start_triton: StartTriton
) -> None:
    triton = start_triton(models=["echo_sum"])
    settings = inference_settings(pipelines, triton_url=triton.grpc_target)
    async with serve_inference(settings) as service:
        await service.until_serving()
        triton.kill()
        await service.until_serving(False)
        before = calls_to_the_model()
        batches = [feature_batch("sum", [[1, 2, 3, 4]]) for _ in range(200)]
        errors = await asyncio.gather(*(service.refused(batch) for batch in batches))
        assert {reason_of(error) for error in errors} == {UNAVAILABLE}
        assert calls_to_the_model() == before


def calls_to_the_model() -> float:
    return sum(
        REGISTRY.get_sample_value(
            f"{names.MODEL_CALL_SECONDS}_count", {"model": "echo_sum", "code": code.name}
        )
        or 0
        for code in Code
    )
