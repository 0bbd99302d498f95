"""A whole mesh for tests: real Redis, real Triton, the services and the gateway, as placed."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.mesh_process import (
    MeshProcess,
    WorkerProcess,
    balanced_target,
    replica_name,
)
from tailrace.runtime.placement import parse_placement
from tailrace.v1 import prediction_service_pb2, prediction_service_pb2_grpc
from tests.support.waiting import wait_for

FILES_DIR = Path(__file__).parent / "mesh"
# Several processes that start at once on a busy machine take their time.
_READY_S = 60.0


class RunningMesh:
    """Processes of ours around a Redis and a Triton.

    Attributes:
        redis: the feature store.
        triton: the model server.
        files: folder with `pipelines` and `features`, the test's own copy.
        processes: by service name; a second replica is `NAME-2`. Hops inside the gateway have
            none. Workers of the gateway, `gateway-1` and so on, are found by name wherever a
            name is asked for, yet are no processes of ours.
    """

    def __init__(
        self,
        redis: LocalRedis,
        triton: LocalTriton,
        run_dir: Path,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        files: Path = FILES_DIR,
        credentials: grpc.ChannelCredentials | None = None,
        placement: str = "remote",
        workers: int = 1,
        replicas: Mapping[str, int] | None = None,
    ) -> None:
        """Describes the mesh; `start` starts it.

        Args:
            redis: running.
            triton: running.
            run_dir: folder for logs, ready files and the copy of the pipeline files.
            settings: more settings by service, as environment variables; those under `all`
                are for every service, and those of a hop for wherever it runs.
            files: folder with `pipelines` and `features` to copy.
            credentials: for talking to the processes; none for plaintext.
            placement: where the hops run, as the gateway's settings say it.
            workers: how many processes share the gateway's port.
            replicas: how many processes of each hop; one of those that are not named.
        """
        self.redis = redis
        self.triton = triton
        self.files = run_dir / "files"
        shutil.copytree(files, self.files)
        self._run_dir = run_dir
        self._settings = settings or {}
        self._credentials = credentials
        self._placement = placement
        self._workers = workers
        self._replicas = replicas or {}
        self.processes: dict[str, MeshProcess] = {}

    @property
    def target(self) -> str:
        """Where the gateway listens."""
        return self.processes["gateway"].target

    @property
    def local_hops(self) -> frozenset[str]:
        """The hops inside the gateway's processes."""
        places = parse_placement(self._placement)
        return frozenset(hop for hop, place in places.items() if place == "local")

    def start(self) -> None:
        """Starts everything and returns once all of it serves."""
        for hop in parse_placement(self._placement):
            if hop not in self.local_hops:
                for number in range(1, self._replicas.get(hop, 1) + 1):
                    self.add(hop, replica_name(hop, number))
        for process in self.processes.values():
            process.wait_ready(_READY_S)
        self.add("gateway", "gateway").wait_ready(_READY_S)
        for name in self.processes:
            self.wait_serving(name)
        for worker in self.processes["gateway"].workers:
            self.wait_serving(worker.name)

    def add(self, service: str, name: str) -> MeshProcess:
        """Launches one more process of a service; `wait_ready` on it is the caller's."""
        process = MeshProcess(
            service, run_dir=self._run_dir, settings=self._environment(service), name=name
        )
        self.processes[name] = process
        process.launch()
        return process

    def channel(self, name: str) -> grpc.Channel:
        """Returns a channel to a process."""
        worker = self._worker(name)
        target = worker.target if worker else self.processes[name].target
        if self._credentials is None:
            return grpc.insecure_channel(target)
        return grpc.secure_channel(target, self._credentials)

    def health(self, name: str, service: str = "") -> str:
        """Returns what a process's health service says: SERVING, NOT_SERVING, or UNREACHABLE."""
        with self.channel(name) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=2.0)
            except grpc.RpcError:
                return "UNREACHABLE"
        return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)

    def wait_serving(self, name: str, timeout_s: float = 20.0) -> None:
        """Returns once a process says SERVING."""
        wait_for(lambda: self.health(name) == "SERVING", timeout_s)

    def metric(self, name: str, metric: str) -> float:
        """Returns the sum of a metric of a process over all its labels, and all its workers."""
        worker = self._worker(name)
        found = [worker] if worker else self.processes[name].workers or [self.processes[name]]
        return sum(metric_at(one.metrics_port, metric) for one in found)

    def change_pipeline(self, name: str, old: str, new: str) -> None:
        """Replaces text in a pipeline file and returns once the gateway serves the result."""
        file = self.files / "pipelines" / f"{name}.yaml"
        text = file.read_text()
        assert old in text
        before = self.version(name)
        file.write_text(text.replace(old, new))
        wait_for(lambda: self.version(name) != before)

    def version(self, name: str) -> str:
        """Returns the exact version of a pipeline that the gateway gives to new requests."""
        with self.channel("gateway") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = prediction_service_pb2.GetPipelineRequest(pipeline=name)
            return stub.GetPipeline(request, timeout=5).pipeline.version

    def log(self, name: str) -> str:
        """Returns the log of a process so far; workers write to that of the gateway."""
        return self.processes[name].process.log_text()

    def kill(self) -> None:
        """Ends all processes of ours, at once."""
        for process in self.processes.values():
            process.kill()

    def _environment(self, service: str) -> dict[str, str]:
        settings = {
            "TAILRACE_PIPELINES_DIR": str(self.files / "pipelines"),
            "TAILRACE_PIPELINES_POLL_MS": "100",
            "TAILRACE_FEATURE_REDIS_URL": self.redis.url,
            "TAILRACE_TRITON_URL": self.triton.grpc_target,
            "TAILRACE_MODEL_POLL_MS": "100",
            **self._settings.get("all", {}),
        }
        if service == "gateway":
            settings |= {"TAILRACE_PLACEMENT": self._placement}
            settings |= {"TAILRACE_WORKERS": str(self._workers)}
            for hop in parse_placement(self._placement):
                if hop in self.local_hops:
                    settings |= dict(self._settings.get(hop, {}))
                else:
                    settings[f"TAILRACE_{hop.upper()}_TARGET"] = self._hop_target(hop)
        return settings | dict(self._settings.get(service, {}))

    def _hop_target(self, hop: str) -> str:
        processes = self.processes.values()
        return balanced_target([process.target for process in processes if process.service == hop])

    def _worker(self, name: str) -> WorkerProcess | None:
        gateway = self.processes.get("gateway")
        if gateway is None:
            return None
        gateway.look_for_workers()
        return next((worker for worker in gateway.workers if worker.name == name), None)


def metric_at(port: int, metric: str) -> float:
    """Returns the sum of a metric of a process over all its labels."""
    """Returns the sum of a metric over all its labels, from a metrics port on loopback."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric
    )
