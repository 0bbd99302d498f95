"""Processes that die, hang, come back, or cannot start."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import grpc
import pytest

from tailrace.cli.local.errors import ProcessExited
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.requests import error_info, predict_request
from tests.support.waiting import wait_for

CODE = grpc.StatusCode
ECHO = predict_request("echo", {"x0": 1.0, "account": "account-1"})
STRICT = predict_request("strict", {"x0": 1.0, "account": "account-1"})


class Caller:
    """Asks a mesh, once per call, over one channel."""

    def __init__(self, mesh: Any) -> None:
        self.channel = grpc.insecure_channel(mesh.target)
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def answers(self, request: Any = ECHO) -> Any:
        try:
            self.stub.Predict(request, timeout=5)
        except grpc.RpcError:
            return False
        return True

    def fails(self, request: Any = ECHO) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            self.stub.Predict(request, timeout=5)
        return caught.value


@pytest.fixture(scope="module")
def own_mesh(start_module_mesh: Any, redis_server: Any, triton_server: Any) -> Any:
    """A mesh whose processes a test may kill, and starts again."""
    return start_module_mesh(redis_server, triton_server)


@pytest.fixture
def caller(own_mesh: Any) -> Any:
    caller = Caller(own_mesh)
    with caller.channel:
        yield caller


@pytest.mark.parametrize("hop", ["ingest", "inference", "postprocess"])
def test_the_only_replica_of_a_hop_killed_is_unavailable_and_comes_back(
    own_mesh: Any, caller: Any, hop: Any
) -> None:
    assert caller.answers()
    own_mesh.processes[hop].kill()
    error = caller.fails()
    # At once: who waited for it would be at his deadline.
    assert error.code() is CODE.UNAVAILABLE
    assert error_info(error).reason == "HOP_UNAVAILABLE"
    own_mesh.processes[hop].start()
    wait_for(caller.answers)


def test_the_features_hop_killed_degrades_or_fails_as_the_pipeline_says(
    own_mesh: Any, caller: Any
) -> None:
    own_mesh.processes["features"].kill()
    answer = caller.stub.Predict(ECHO, timeout=5)
    assert answer.prediction["score"].double_value == -2099.0
    assert answer.quality_reasons[0].detail == "features failed: HOP_UNAVAILABLE"
    error = caller.fails(STRICT)
    assert error.code() is CODE.UNAVAILABLE
    own_mesh.processes["features"].start()
    wait_for(lambda: caller.answers(STRICT))


def test_sigterm_lets_calls_in_flight_finish(
    start_mesh: Any, redis_server: Any, triton_server: Any
) -> None:
    own_mesh = start_mesh(redis_server, triton_server)

    async def ask() -> Any:
        async with grpc.aio.insecure_channel(own_mesh.target) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_request("slow", {"model_ms": 1200.0})
            call = asyncio.ensure_future(stub.Predict(request, timeout=10))
            await asyncio.to_thread(
                wait_for,
                lambda: own_mesh.metric("inference", "tailrace_rpc_server_calls_in_flight") == 1,
            )
            for name in ("gateway", "inference"):
                own_mesh.processes[name].process.signal(signal.SIGTERM)
            await asyncio.to_thread(
                wait_for, lambda: own_mesh.health("inference") in ("NOT_SERVING", "UNREACHABLE")
            )
            return await call

    answer = asyncio.run(ask())
    assert answer.prediction["score"].double_value == 1200.0
    for name in ("gateway", "inference"):
        process = own_mesh.processes[name].process
        assert process.wait(10.0) == 0


def test_redis_killed_leaves_the_rest_serving_and_recovers(
    start_mesh: Any, start_redis: Any, triton_server: Any
) -> None:
    redis = start_redis(port=0)
    mesh = start_mesh(redis, triton_server)
    caller = Caller(mesh)
    with caller.channel:
        assert caller.answers(STRICT)
        redis.kill()
        wait_for(lambda: mesh.health("features") == "NOT_SERVING")
        error = caller.fails(STRICT)
        assert error.code() is CODE.UNAVAILABLE
        assert error_info(error).reason == "FEATURE_STORE_UNAVAILABLE"
        assert caller.stub.Predict(ECHO, timeout=5).quality_reasons
        redis.start()
        mesh.wait_serving("features")
        # The store came back empty: no view has been loaded.
        error = caller.fails(STRICT)
        assert error.code() is CODE.FAILED_PRECONDITION


def test_triton_killed_is_unavailable_and_recovers(
    start_mesh: Any, redis_server: Any, start_triton: Any
) -> None:
    triton = start_triton()
    mesh = start_mesh(redis_server, triton)
    caller = Caller(mesh)
    with caller.channel:
        assert caller.answers()
        triton.kill()
        error = caller.fails()
        assert error.code() is CODE.UNAVAILABLE
        assert error_info(error).reason == "MODEL_UNAVAILABLE"
        wait_for(lambda: mesh.health("inference") == "NOT_SERVING")
        triton.start()
        mesh.wait_serving("inference")
        wait_for(caller.answers)


def test_a_mesh_started_before_redis_and_triton_recovers_by_itself(
    start_mesh: Any, start_redis: Any, start_triton: Any
) -> None:
    redis, triton = start_redis(), start_triton()
    mesh = start_mesh(redis, triton)
    for name in ("features", "inference"):
        mesh.processes[name].stop()
    redis.kill()
    triton.kill()
    for name in ("features", "inference"):
        mesh.processes[name].start()
        assert mesh.health(name) == "NOT_SERVING"
    redis.start()
    triton.start()
    for name in ("features", "inference"):
        mesh.wait_serving(name)
    caller = Caller(mesh)
    with caller.channel:
        wait_for(caller.answers)


@pytest.mark.parametrize("service", ["ingest", "gateway"])
@pytest.mark.parametrize("which", ["port", "metrics_port"])
def test_a_port_in_use_stops_the_start_with_a_clear_message(
    mesh: Any, service: Any, which: Any
) -> None:
    taken = getattr(mesh.processes["ingest"], which)
    settings = {
        "TAILRACE_PIPELINES_DIR": str(mesh.files / "pipelines"),
        f"TAILRACE_{which.upper()}": str(taken),
    }
    # Without the launcher, which would not even try.
    second = subprocess.run(
        [sys.executable, "-m", "tailrace.cli", "serve", service],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert second.returncode == 1
    assert str(taken) in second.stderr
    assert "in use" in second.stderr
    assert mesh.health("ingest") == "SERVING"


def test_unusable_settings_are_all_listed_at_once(tmp_path: Any) -> None:
    process = MeshProcess(
        "gateway",
        run_dir=tmp_path,
        settings={"TAILRACE_LOG_SAMPLE_RATE": "2", "TAILRACE_MAX_ATTEMPTS": "none"},
    )
    with pytest.raises(ProcessExited) as caught:
        process.start()
    assert "TAILRACE_LOG_SAMPLE_RATE" in str(caught.value)
    assert "TAILRACE_MAX_ATTEMPTS" in str(caught.value)
    assert process.process.exit_status == 2


def test_plaintext_off_loopback_needs_an_explicit_setting(tmp_path: Any) -> None:
    process = MeshProcess("ingest", run_dir=tmp_path, settings={"TAILRACE_HOST": "0.0.0.0"})
    with pytest.raises(ProcessExited, match="refusing to listen without TLS"):
        process.start()


def test_a_missing_folder_of_pipelines_stops_the_start(tmp_path: Any) -> None:
    settings = {"TAILRACE_PIPELINES_DIR": str(tmp_path / "nowhere")}
    process = MeshProcess("ingest", run_dir=tmp_path, settings=settings)
    with pytest.raises(ProcessExited, match="nowhere for pipeline files"):
        process.start()
    assert process.process.exit_status == 1
