"""An inference service inside the test's process, behind its real gRPC port."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.inference.app import SERVICE_NAME, build
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Block, Columns, DType
from tailrace.runtime.config import InferenceSettings
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.error_mapping import error_of
from tailrace.v1 import inference_service_pb2, inference_service_pb2_grpc
from tests.support.hop_server import serve_hop
from tests.support.wire_batches import answer_from_proto, batch_to_proto

FEATURES = ("x0", "x1", "x2", "x3")


def write_pipeline(folder: Path, name: str, model: Mapping[str, Any], **sections: Any) -> None:
    """Writes a pipeline with the request fields x0 to x3; `model` overrides parts of its model."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {field: {"type": "double", "required": True} for field in FEATURES}
    section = {
        "name": "echo_sum",
        "inputs": [{"name": "features", "dtype": "float32", "columns": list(FEATURES)}],
        "outputs": [{"name": "score", "dtype": "float32", "shape": [1]}],
        **model,
    }
    content = {
        "pipeline": name,
        "version": "1",
        "request": {"fields": fields},
        "model": section,
        "postprocess": {"outputs": [{"name": section["outputs"][0]["name"]}]},
        **sections,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def feature_batch(
    pipeline: str,
    values: Any,
    *,
    remaining_ms: float | Sequence[float] = 5_000,
    names: Sequence[str] = FEATURES,
    request_ids: Sequence[str] | None = None,
    priorities: Sequence[int] = (),
) -> Batch:
    """Returns a batch of float32 columns; `values` has the shape [rows, columns]."""
    columns = np.ascontiguousarray(np.asarray(values, dtype=np.float32).T)
    count = columns.shape[1]
    remaining_ns = np.broadcast_to(np.asarray(remaining_ms) * NS_PER_MS, count).astype(np.int64)
    rows = Rows(
        request_ids=list(request_ids or (f"request-{row}" for row in range(count))),
        deadlines_ns=(remaining_ns + time.monotonic_ns()).tolist(),
        priorities=list(priorities),
    )
    block = Block(tuple(names), DType.FLOAT32, columns)
    return Batch(pipeline, "", rows, Columns(count, [block]))


@dataclass(frozen=True, slots=True)
class Inferred:
    """A response, decoded."""

    batch: Batch
    model: str
    versions: list[str]

    @property
    def scores(self) -> list[float]:
        """The column `score`, one number per row."""
        scores: list[float] = self.batch.columns["score"].reshape(-1).tolist()
        return scores

    @property
    def codes(self) -> dict[int, str]:
        """Code and reason of every failed row."""
        failures = self.batch.rows.failures.items()
        return {row: f"{error.code.name} {error.reason.name}" for row, error in failures}


@dataclass(frozen=True, slots=True)
class RunningInference:
    """The service, and ways to talk to it."""

    channel: grpc.aio.Channel

    async def infer(self, batch: Batch, timeout_s: float = 10.0) -> Inferred:
        """Returns the decoded response. Raises AioRpcError."""
        stub = inference_service_pb2_grpc.InferenceServiceStub(self.channel)
        request = inference_service_pb2.InferRequest(batch=batch_to_proto(batch))
        reply = await stub.Infer(request, timeout=timeout_s)
        answer = answer_from_proto(reply.batch)
        return Inferred(answer, reply.model_name, list(reply.model_versions))

    async def refused(self, batch: Batch, timeout_s: float = 10.0) -> grpc.aio.AioRpcError:
        """Returns the error that the call is expected to fail with."""
        try:
            answer = await self.infer(batch, timeout_s)
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError(f"the call succeeded: {answer}")

    async def is_serving(self) -> bool:
        """Returns what the health service says of the inference service."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        reply = await stub.Check(request, timeout=5)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def until_serving(self, serving: bool = True, timeout_s: float = 30.0) -> None:
        """Returns once health says so; fails if it never does."""
        async with asyncio.timeout(timeout_s):
            while True:
                if await self.is_serving() is serving:
                    return
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def serve_inference(settings: InferenceSettings) -> AsyncIterator[RunningInference]:
    """Serves until the body is left."""
    async with serve_hop(settings, build(settings)) as channel:
        yield RunningInference(channel)


def inference_settings(pipelines_dir: Path, **overrides: Any) -> InferenceSettings:
    """Returns settings for a test: a quick poll, a short drain."""
    values = {"pipelines_dir": pipelines_dir, "model_poll_ms": 100, "drain_grace_ms": 100}
    return InferenceSettings(**{**values, **overrides})


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Returns code and reason of a failed call."""
    return f"{error.code().name} {error_of(error).reason.name}"
