"""Dispatchers, and what they need: hops over ONNX Runtime, features, and a queue."""

from __future__ import annotations

import asyncio
import shutil
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.runtime.config import QueueSettings
from tailrace.runtime.placement import HOPS
from tailrace.submissions.ids import new_prediction_id
from tailrace.submissions.open_queue import Queue, open_queue
from tailrace.submissions.records import NewSubmission, State, StoredPrediction, Submitted
from tailrace.v1 import prediction_service_pb2
from tests.support.mesh_fixtures import load_accounts
from tests.support.placements import TRITON_ONLY, write_onnx_models
from tests.support.redis_cluster import LocalCluster
from tests.support.running_mesh import FILES_DIR, metric_at

PARTITIONS = 2
LEASE_MS = 1_000
# The step of the pipeline `fatal` ends its process when it meets this value.
FATAL = 666.0

FATAL_PIPELINE = """
pipeline: fatal
version: "1"
request:
  fields:
    x0: {type: double, required: true}
ingest:
  steps:
    - step: function
      function: fatal_steps:end_if_told
      inputs: [x0]
      outputs: [{name: x, dtype: float32}]
model:
  name: echo_sum
  version: "1"
  inputs: [{name: features, dtype: float32, columns: [x, x, x, x]}]
  outputs: [{name: score, dtype: float32, shape: [1]}]
postprocess:
  outputs: [{name: score}]
deadline: {default_ms: 5000, maximum_ms: 10000}
"""
FATAL_STEPS = f'''
import os
import signal

import numpy as np


def end_if_told(x0):
    """Ends this process."""
    if (x0 == {FATAL}).any():
        os.kill(os.getpid(), signal.SIGKILL)
    return x0.astype(np.float32)
'''


class DispatchMesh:
    """Processes around a queue.

    Attributes:
        queue_redis: the queue.
        processes: by name.
        settings: of all processes, as environment variables.
    """

    def __init__(
        self,
        run_dir: Path,
        features: LocalRedis,
        queue_redis: LocalRedis | LocalCluster,
        placement: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describes the mesh; nothing is started.

        Args:
            run_dir: for logs, and copies of the pipeline files.
            features: the feature Redis.
            queue_redis: the queue.
            placement: where dispatchers and gateway have their hops.
            settings: more settings of all processes.
        """
        self.queue_redis = queue_redis
        self._cluster = isinstance(queue_redis, LocalCluster)
        self.processes: dict[str, MeshProcess] = {}
        self._run_dir = run_dir
        self._placement = placement
        files = run_dir / "files"
        shutil.copytree(FILES_DIR, files, ignore=shutil.ignore_patterns(*TRITON_ONLY))
        (files / "pipelines" / "fatal.yaml").write_text(FATAL_PIPELINE)
        (files / "pipelines" / "fatal_steps.py").write_text(FATAL_STEPS)
        write_onnx_models(run_dir / "models")
        load_accounts(features, files / "features", run_dir)
        self.settings = {
            "TAILRACE_PIPELINES_DIR": str(files / "pipelines"),
            "TAILRACE_PIPELINES_POLL_MS": "100",
            "TAILRACE_FEATURE_REDIS_URL": features.url,
            "TAILRACE_INFERENCE_BACKEND": "onnxruntime",
            "TAILRACE_MODEL_REPOSITORY": str(run_dir / "models"),
            "TAILRACE_MODEL_POLL_MS": "100",
            "TAILRACE_QUEUE_REDIS_URL": queue_redis.url,
            "TAILRACE_QUEUE_REDIS_CLUSTER": str(self._cluster).lower(),
            "TAILRACE_QUEUE_PARTITIONS": str(PARTITIONS),
            "TAILRACE_QUEUE_DURABILITY": "everysec",
            "TAILRACE_DISPATCHER_LEASE_MS": str(LEASE_MS),
            **(settings or {}),
        }

    def start(self, service: str, name: str = "", **settings: str) -> MeshProcess:
        """Starts a process and returns it once it listens; it takes its old ports if it had any.

        Args:
            service: such as `dispatcher`.
            name: of the process, where there are several.
            settings: more of its settings, without `TAILRACE_`.
        """
        process = self._process(service, name or service, settings)
        process.start()
        return process

    def start_hops(self) -> None:
        """Starts the hops that are services of their own."""
        if self._placement == "remote":
            processes = [self._process(hop, hop, {}) for hop in HOPS]
            for process in processes:
                process.launch()
            for process in processes:
                process.wait_ready()

    def metric(self, name: str, metric: str) -> float:
        """Returns the sum of a metric of a process over all its labels."""
        return metric_at(self.processes[name].metrics_port, metric)

    def metrics(self, name: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Returns all metrics of a process, by name and labels."""
        port = self.processes[name].metrics_port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as answer:
            text = answer.read().decode()
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def health(self, name: str) -> str:
        """Returns what a process's health service says: SERVING or NOT_SERVING."""
        with grpc.insecure_channel(self.processes[name].target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=5.0).status
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)

    def log(self, name: str) -> str:
        """Returns what a process has logged since it was last started."""
        return self.processes[name].process.log_text()

    def kill(self) -> None:
        """Ends all processes, at once."""
        for process in self.processes.values():
            process.kill()

    def _process(self, service: str, name: str, settings: Mapping[str, str]) -> MeshProcess:
        known = self.processes.get(name)
        if known is None:
            own = {f"TAILRACE_{key.upper()}": value for key, value in settings.items()}
            known = MeshProcess(
                service, run_dir=self._run_dir, settings=self._environment() | own, name=name
            )
            self.processes[name] = known
        return known

    def _environment(self) -> dict[str, str]:
        targets = {
            f"TAILRACE_{hop.upper()}_TARGET": self.processes[hop].target
            for hop in HOPS
            if hop in self.processes
        }
        return self.settings | targets | {"TAILRACE_PLACEMENT": self._placement}

    @asynccontextmanager
    async def queue(self) -> AsyncIterator[Queue]:
        """Opens the queue, as the gateway does."""
        settings = QueueSettings(
            queue_redis_url=self.queue_redis.url,
            queue_redis_cluster=self._cluster,
            queue_partitions=PARTITIONS,
            queue_durability="everysec",
        )
        async with open_queue(settings, "test") as queue:
            yield queue


def predict_request(
    pipeline: str, request_id: str = "", **fields: float
) -> prediction_service_pb2.PredictRequest:
    """Returns a request with fields of numbers."""
    request = prediction_service_pb2.PredictRequest(pipeline=pipeline, request_id=request_id)
    for name, value in fields.items():
        request.fields[name].double_value = value
    return request


async def submit(
    queue: Queue,
    requests: Sequence[prediction_service_pb2.PredictRequest],
    partition: int = 0,
    priority: int = 2,
    not_after_ms: int | None = None,
) -> list[str]:
    """Puts requests into the queue, without the gateway; returns their ids."""
    submissions = [
        NewSubmission(
            prediction_id=new_prediction_id(partition),
            tenant=request.tenant,
            idempotency_key="",
            body_digest=bytes(32),
            pipeline=request.pipeline,
            request_id=request.request_id,
            ordering_key="",
            priority=priority,
            request=request.SerializeToString(),
            callback=None,
            not_after_ms=not_after_ms,
        )
        for request in requests
    ]
    outcomes = await queue.submissions.submit(partition, submissions)
    assert all(isinstance(outcome, Submitted) for outcome in outcomes), outcomes
    return [submission.prediction_id for submission in submissions]


async def stored(queue: Queue, ids: Sequence[str]) -> list[StoredPrediction]:
    """Returns submissions as they are kept, with their outcomes."""
    found = await queue.submissions.get(ids, outcomes=True)
    assert None not in found
    return [each for each in found if each is not None]


async def ended(
    queue: Queue, ids: Sequence[str], timeout_s: float = 30.0
) -> list[StoredPrediction]:
    """Returns submissions once all of them are final."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await stored(queue, ids)
            if all(each.state.is_final for each in found):
                return found
            await asyncio.sleep(0.02)


async def in_state(
    queue: Queue, ids: Sequence[str], state: State, timeout_s: float = 30.0
) -> list[StoredPrediction]:
    """Returns submissions once any of them is in a state."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await stored(queue, ids)
            if any(each.state is state for each in found):
                return found
            await asyncio.sleep(0.005)
