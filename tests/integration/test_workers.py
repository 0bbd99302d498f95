"""A gateway of several workers: one port, each of them served, each reachable alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.client import AsyncClient, Client
from tailrace.client.values import Fields
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.mesh_fixtures import StartMesh
from tests.support.requests import predict_request
from tests.support.running_mesh import RunningMesh
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")

WORKERS = ("gateway-1", "gateway-2", "gateway-3")
# The kernel deals connections out by a hash: that one of three workers gets none of so many
# happens once in 100 million times.
CONNECTIONS = 48
FIELDS: Fields = {"x0": 1.0, "account": "account-1"}
SCORE = 1.0 + 100 * 3.0 + 1000 * 4.0


@pytest.fixture(scope="module")
def mesh(
    start_module_mesh: StartMesh, redis_server: LocalRedis, triton_server: LocalTriton
) -> RunningMesh:
    """A mesh whose gateway has three workers."""
    return start_module_mesh(redis_server, triton_server, workers=len(WORKERS))


def calls(mesh: RunningMesh) -> dict[str, float]:
    """Returns how many calls each worker has answered, as its own metrics port says."""
    return {name: mesh.metric(name, "tailrace_rpc_server_calls_total") for name in WORKERS}


def since(mesh: RunningMesh, before: dict[str, float]) -> dict[str, float]:
    """Returns how many calls each worker has answered since `before`."""
    return {name: count - before[name] for name, count in calls(mesh).items()}


def connections_to(port: int) -> int:
    """Returns how many connections this process has to a port of loopback."""
    found = psutil.Process().net_connections("tcp")
    established = [one for one in found if one.status == psutil.CONN_ESTABLISHED]
    return sum(1 for one in established if one.raddr[1:2] == (port,))


def test_the_parent_names_its_workers_and_has_no_grpc(mesh: RunningMesh) -> None:
    gateway = mesh.processes["gateway"]
    assert tuple(worker.name for worker in gateway.workers) == WORKERS
    ports = {gateway.port}
    for worker in gateway.workers:
        assert psutil.Process(worker.pid).ppid() == gateway.process.pid
        ports |= {worker.port, worker.metrics_port}
    assert len(ports) == 1 + 2 * len(WORKERS)
    assert "cygrpc" not in Path(f"/proc/{gateway.process.pid}/maps").read_text()
    assert "cygrpc" in Path(f"/proc/{gateway.workers[0].pid}/maps").read_text()


def test_each_worker_alone_answers_on_its_own_port(mesh: RunningMesh) -> None:
    for name in WORKERS:
        assert mesh.health(name) == "SERVING"
        assert mesh.health(name, "tailrace.v1.PredictionService") == "SERVING"
        before = calls(mesh)
        with mesh.channel(name) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for _ in range(5):
                answer = stub.Predict(predict_request("echo", FIELDS), timeout=5)
                assert answer.prediction["score"].double_value == SCORE
        assert since(mesh, before) == dict.fromkeys(WORKERS, 0) | {name: 5}


async def test_an_async_client_with_many_connections_reaches_every_worker(
    mesh: RunningMesh,
) -> None:
    before = calls(mesh)
    async with AsyncClient(mesh.target, connections=CONNECTIONS, timeout=30) as client:
        answers = await asyncio.gather(
            *(client.predict("echo", FIELDS) for _ in range(2 * CONNECTIONS))
        )
        assert connections_to(mesh.processes["gateway"].port) == CONNECTIONS
    assert {answer.values["score"] for answer in answers} == {SCORE}
    served = since(mesh, before)
    assert sum(served.values()) == 2 * CONNECTIONS
    # Each connection was used twice, and belongs to one worker.
    assert all(count >= 2 and count % 2 == 0 for count in served.values()), served


def test_a_sync_client_with_many_connections_reaches_every_worker(mesh: RunningMesh) -> None:
    before = calls(mesh)
    with (
        Client(mesh.target, connections=CONNECTIONS, timeout=30) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        asked = [threads.submit(client.predict, "echo", FIELDS) for _ in range(2 * CONNECTIONS)]
        assert {one.result().values["score"] for one in asked} == {SCORE}
        assert connections_to(mesh.processes["gateway"].port) == CONNECTIONS
    served = since(mesh, before)
    assert sum(served.values()) == 2 * CONNECTIONS
    assert all(count >= 2 and count % 2 == 0 for count in served.values()), served


async def test_a_client_of_the_workers_own_ports_is_spread_evenly(mesh: RunningMesh) -> None:
    target = mesh.processes["gateway"].workers_target
    async with AsyncClient(target, timeout=30) as client:
        # A channel takes turns among those addresses that it is connected to.
        def all_connected() -> bool:
            return all(
                connections_to(worker.port) == 1 for worker in mesh.processes["gateway"].workers
            )

        await client.predict("echo", FIELDS)
        await asyncio.to_thread(wait_for, all_connected)
        for _ in range(3 * len(WORKERS)):
            await client.predict("echo", FIELDS)
        before = calls(mesh)
        await asyncio.gather(*(client.predict("echo", FIELDS) for _ in range(30)))
    assert since(mesh, before) == dict.fromkeys(WORKERS, 10)


def test_every_log_line_is_whole_and_tells_who_wrote_it(mesh: RunningMesh) -> None:
    gateway = mesh.processes["gateway"]
    lines = [json.loads(line) for line in mesh.log("gateway").splitlines()]
    pids = {gateway.process.pid, *(worker.pid for worker in gateway.workers)}
    listening = {line["process"]["pid"] for line in lines if line["message"] == "listening"}
    assert listening == pids
    assert {line["process"]["pid"] for line in lines} == pids


def test_a_shared_port_is_in_use_for_everybody_else(mesh: RunningMesh) -> None:
    port = mesh.processes["gateway"].port
    for workers in ("1", "2"):
        second = subprocess.run(
            [sys.executable, "-m", "tailrace.cli", "serve", "gateway"],
            env={
                **os.environ,
                "TAILRACE_PIPELINES_DIR": str(mesh.files / "pipelines"),
                "TAILRACE_PORT": str(port),
                "TAILRACE_WORKERS": workers,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1, second.stdout
        assert f"cannot listen on 127.0.0.1:{port}; is the port in use?" in second.stderr
    assert {mesh.health(name) for name in WORKERS} == {"SERVING"}


@pytest.fixture
def localhost_gateway(mesh: RunningMesh, tmp_path: Path) -> Iterator[MeshProcess]:
    """A gateway of two workers on the name `localhost`, without any hop to reach."""
    settings = {
        "TAILRACE_HOST": "localhost",
        "TAILRACE_WORKERS": "2",
        "TAILRACE_PIPELINES_DIR": str(mesh.files / "pipelines"),
    }
    process = MeshProcess("gateway", run_dir=tmp_path, settings=settings)
    process.start()
    yield process
    process.kill()


def test_workers_listen_on_all_addresses_of_localhost(localhost_gateway: MeshProcess) -> None:
    for worker in localhost_gateway.workers:
        found = psutil.Process(worker.pid).net_connections("tcp")
        listening = [one for one in found if one.status == psutil.CONN_LISTEN]
        on = {one.laddr.ip.removeprefix("::ffff:") for one in listening}
        shared = [one for one in listening if one.laddr.port == localhost_gateway.port]
        assert "127.0.0.1" in on
        assert len(shared) == len(on)
    for address in ("127.0.0.1", "localhost"):
        with grpc.insecure_channel(f"{address}:{localhost_gateway.port}") as channel:
            grpc.channel_ready_future(channel).result(10)
    localhost_gateway.process.signal(signal.SIGTERM)
    assert localhost_gateway.process.wait(20) == 0
