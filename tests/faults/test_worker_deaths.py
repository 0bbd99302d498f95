"""Workers of the gateway that die, are stopped, or cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from tailrace.cli.local.errors import ProcessExited
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.mesh_process import MeshProcess, WorkerProcess
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.mesh_fixtures import StartMesh
from tests.support.requests import predict_request
from tests.support.running_mesh import FILES_DIR, RunningMesh
from tests.support.waiting import is_gone, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")

PIPELINES = {"TAILRACE_PIPELINES_DIR": str(FILES_DIR / "pipelines")}
ECHO = predict_request("echo", {"x0": 1.0, "account": "account-1"})


@pytest.fixture
def mesh(start_mesh: StartMesh, redis_server: LocalRedis, triton_server: LocalTriton) -> Any:
    """A mesh whose gateway has two workers, to kill and to stop."""
    return start_mesh(redis_server, triton_server, workers=2)


def workers_of(mesh: RunningMesh) -> dict[str, WorkerProcess]:
    """Returns the workers that listen now, by name."""
    gateway = mesh.processes["gateway"]
    gateway.look_for_workers()
    return {worker.name: worker for worker in gateway.workers}


def logged(mesh: RunningMesh, message: str) -> list[dict[str, Any]]:
    """Returns the labels of the gateway's log lines with that message."""
    text = (line for line in mesh.log("gateway").splitlines() if line.startswith("{"))
    lines = (json.loads(line) for line in text)
    return [line["labels"] for line in lines if line["message"] == message]


def test_a_killed_worker_is_started_again_while_the_other_serves(mesh: RunningMesh) -> None:
    before = workers_of(mesh)
    with mesh.channel("gateway-2") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        os.kill(before["gateway-1"].pid, signal.SIGKILL)

        def is_back() -> bool:
            stub.Predict(ECHO, timeout=10)
            now = workers_of(mesh)
            return "gateway-1" in now and now["gateway-1"].pid != before["gateway-1"].pid

        wait_for(is_back, 30)
    mesh.wait_serving("gateway-1")
    assert workers_of(mesh)["gateway-2"] == before["gateway-2"]
    (ended,) = logged(mesh, "worker ended")
    assert ended["worker"] == "gateway-1"
    assert ended["worker_pid"] == before["gateway-1"].pid
    assert ended["exit_status"] == -signal.SIGKILL
    # Those who come to the shared port get to either of them.
    with mesh.channel("gateway") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(ECHO, timeout=10).prediction["score"].double_value == 4301.0


def test_a_worker_that_cannot_start_again_is_tried_less_and_less_often(mesh: RunningMesh) -> None:
    pipelines, aside = mesh.files / "pipelines", mesh.files / "aside"
    pipelines.rename(aside)
    os.kill(workers_of(mesh)["gateway-1"].pid, signal.SIGKILL)
    wait_for(lambda: len(logged(mesh, "worker ended")) >= 3, 60)
    assert set(workers_of(mesh)) == {"gateway-2"}
    assert mesh.health("gateway-2") == "SERVING"
    aside.rename(pipelines)
    wait_for(lambda: "gateway-1" in workers_of(mesh), 60)
    mesh.wait_serving("gateway-1")
    ended = logged(mesh, "worker ended")
    assert [one["exit_status"] for one in ended[:3]] == [-signal.SIGKILL, 1, 1]
    waits = [one["restart_after_s"] for one in ended]
    assert waits == sorted(set(waits))


def test_sigterm_lets_all_workers_finish_what_they_have_begun(mesh: RunningMesh) -> None:
    gateway = mesh.processes["gateway"]

    async def ask() -> list[Any]:
        channels = [grpc.aio.insecure_channel(worker.target) for worker in gateway.workers]
        request = predict_request("slow", {"model_ms": 1000.0})
        stubs = [prediction_service_pb2_grpc.PredictionServiceStub(one) for one in channels]
        asked = [asyncio.ensure_future(stub.Predict(request, timeout=20)) for stub in stubs]
        in_flight = "tailrace_rpc_server_calls_in_flight"
        await asyncio.to_thread(
            wait_for,
            lambda: all(mesh.metric(worker.name, in_flight) == 1 for worker in gateway.workers),
        )
        gateway.process.signal(signal.SIGTERM)
        answers = await asyncio.gather(*asked)
        for channel in channels:
            await channel.close()
        return answers

    answers = asyncio.run(ask())
    assert [answer.prediction["score"].double_value for answer in answers] == [1000.0, 1000.0]
    assert gateway.process.wait(20) == 0
    assert all(is_gone(worker.pid) for worker in gateway.workers)


def test_a_killed_parent_takes_its_workers_along(mesh: RunningMesh) -> None:
    workers = workers_of(mesh).values()
    os.kill(mesh.processes["gateway"].process.pid, signal.SIGKILL)
    wait_for(lambda: all(is_gone(worker.pid) for worker in workers))


def start_workers(run_dir: Path, **settings: str) -> tuple[int | None, str]:
    """Returns the exit status of a gateway of two workers that cannot start, and what it says."""
    process = MeshProcess(
        "gateway",
        run_dir=run_dir,
        settings={**PIPELINES, "TAILRACE_WORKERS": "2", **settings},
        metrics_port=int(settings.get("TAILRACE_METRICS_PORT", 0)),
    )
    with pytest.raises(ProcessExited) as caught:
        process.start(60)
    assert not psutil.pid_exists(process.process.pid)
    return process.process.exit_status, str(caught.value)


def test_workers_without_pipelines_do_not_start_and_say_why(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    status, said = start_workers(tmp_path, TAILRACE_PIPELINES_DIR=missing)
    assert status == 1
    assert "nowhere for pipeline files" in said
    assert not list(tmp_path.glob("tailrace-workers-*"))


def test_workers_with_unusable_settings_do_not_start_and_list_them(tmp_path: Path) -> None:
    status, said = start_workers(tmp_path, TAILRACE_MAX_FIELDS="none", TAILRACE_PLACEMENT="here")
    assert status == 2
    assert "TAILRACE_MAX_FIELDS" in said
    assert "TAILRACE_PLACEMENT" in said


def test_workers_whose_numbers_of_ports_are_too_high_do_not_start(tmp_path: Path) -> None:
    status, said = start_workers(tmp_path, TAILRACE_METRICS_PORT="65534")
    assert status == 1
    assert "TAILRACE_METRICS_PORT is too high for 2 workers" in said


@contextlib.contextmanager
def a_port_after_a_free_one() -> Iterator[int]:
    """Yields a port that is taken, where the one before it is not."""
    with contextlib.ExitStack() as held:
        while True:
            taken = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", taken - 1)).close()
            except OSError:
                continue
            yield taken
            return


def test_a_worker_whose_metrics_port_is_taken_stops_the_start(tmp_path: Path) -> None:
    with a_port_after_a_free_one() as taken:
        status, said = start_workers(tmp_path, TAILRACE_METRICS_PORT=str(taken - 1))
    assert status == 1
    assert f"cannot listen for metrics on 127.0.0.1:{taken}" in said
