"""A whole mesh for tests: real Redis, real Triton, the four services and the gateway."""

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
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.v1 import prediction_service_pb2, prediction_service_pb2_grpc
from tests.support.waiting import wait_for

FILES_DIR = Path(__file__).parent / "mesh"
HOPS = ("ingest", "features", "inference", "postprocess")


class RunningMesh:
    """Five processes of ours around a Redis and a Triton.

    Attributes:
        redis: the feature store.
        triton: the model server.
        files: folder with `pipelines` and `features`, the test's own copy.
        processes: by service name; a replica is `NAME-2`.
    """

    def __init__(
        self,
        redis: LocalRedis,
        triton: LocalTriton,
        run_dir: Path,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        files: Path = FILES_DIR,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Describes the mesh; `start` starts it.

        Args:
            redis: running.
            triton: running.
            run_dir: folder for logs, ready files and the copy of the pipeline files.
            settings: more settings by service, as environment variables; those under `all`
                are for every service.
            files: folder with `pipelines` and `features` to copy.
            credentials: for talking to the processes; none for plaintext.
        """
        self.redis = redis
        self.triton = triton
        self.files = run_dir / "files"
        shutil.copytree(files, self.files)
        self._run_dir = run_dir
        self._settings = settings or {}
        self._credentials = credentials
        self.processes: dict[str, MeshProcess] = {}

    @property
    def target(self) -> str:
        """Where the gateway listens."""
        return self.processes["gateway"].target

    def start(self) -> None:
        """Starts everything and returns once all of it serves."""
        for hop in HOPS:
            self.add(hop, hop)
        for hop in HOPS:
            self.processes[hop].wait_ready()
        self.add("gateway", "gateway")
        self.processes["gateway"].wait_ready()
        for name in self.processes:
            self.wait_serving(name)

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
        target = self.processes[name].target
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
        """Returns the sum of a metric of a process over all its labels."""
        url = f"http://127.0.0.1:{self.processes[name].metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == metric
        )

    def change_pipeline(self, name: str, old: str, new: str) -> None:
        """Replaces text in a pipeline file and returns once the gateway serves the result."""
        file = self.files / "pipelines" / f"{name}.yaml"
        text = file.read_text()
        assert old in text
        before = self.version(name)
        file.write_text(text.replace(old, new))
        wait_for(lambda: self.version(name) != before, 10)

    def version(self, name: str) -> str:
        """Returns the exact version of a pipeline that the gateway gives to new requests."""
        with self.channel("gateway") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = prediction_service_pb2.GetPipelineRequest(pipeline=name)
            return stub.GetPipeline(request, timeout=5).pipeline.version

    def log(self, name: str) -> str:
        """Returns the log of a process so far."""
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
            settings |= {f"TAILRACE_{hop.upper()}_TARGET": self._hop_target(hop) for hop in HOPS}
        return settings | dict(self._settings.get(service, {}))

    def _hop_target(self, hop: str) -> str:
        targets = [process.target for process in self.processes.values() if process.service == hop]
        return targets[0] if len(targets) == 1 else f"ipv4:{','.join(targets)}"
