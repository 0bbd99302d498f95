"""One hop's service, behind its real gRPC port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc.aio

from tailrace.cli.local.lifeline import tied
from tailrace.runtime.config import ServerSettings
from tailrace.runtime.error_mapping import error_of
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.server import GrpcServer, background
from tailrace.v1 import batch_pb2, error_pb2
from tests.support.waiting import wait_for


@contextlib.asynccontextmanager
async def serve_hop(
    settings: ServerSettings, parts: HopParts[Any, Any]
) -> AsyncIterator[grpc.aio.Channel]:
    """Serves in this process until the body is left; yields a channel to the service."""
    await asyncio.to_thread(parts.registry.load)
    server = GrpcServer(
        settings, parts.hop, (parts.service_name, *parts.more_services), parts.add_to
    )
    await server.start()
    if parts.watch is None:
        await server.set_serving(True)
    jobs = [] if parts.watch is None else [parts.watch(server.set_serving)]
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    try:
        async with (
            background(*jobs),
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options) as channel,
        ):
            yield channel
    finally:
        await server.drain()
        await server.close()
        await parts.close()


@contextlib.contextmanager
def hop_process(service: str, folder: Path, pipelines: Path) -> Iterator[tuple[int, int]]:
    """Runs `tailrace serve SERVICE`; yields its pid and port."""
    ready = folder / "ready.json"
    environment = {
        "PATH": "/usr/bin:/bin",
        "TAILRACE_PIPELINES_DIR": str(pipelines),
        "TAILRACE_READY_FILE": str(ready),
        "TAILRACE_DRAIN_GRACE_MS": "2000",
    }
    command = [sys.executable, "-m", "tailrace.cli", "serve", service]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(tied(command), env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None, timeout_s=30)
        assert ready.exists(), (folder / "log").read_text()
        content = json.loads(ready.read_text())
        yield content["pid"], content["port"]
        process.terminate()
        assert process.wait(10) == 0, (folder / "log").read_text()
        assert not ready.exists()
    finally:
        process.kill()
        process.wait()


def hop_batch(rows: int, version: str = "", remaining_us: Sequence[int] = ()) -> batch_pb2.Batch:
    """Returns a batch of the pipeline `under-test`, without blocks."""
    contexts = batch_pb2.RowContexts(
        count=rows,
        request_ids=[f"request-{row}" for row in range(rows)],
        remaining_us=remaining_us or [5_000_000] * rows,
    )
    return batch_pb2.Batch(pipeline="under-test", pipeline_version=version, rows=contexts)


def row_errors(batch: batch_pb2.Batch) -> dict[int, str]:
    """Returns code, reason and field of every failed row."""
    return {
        error.row: f"{error.code} {error_pb2.ErrorReason.Name(error.reason)[13:]} {error.field}"
        for error in batch.rows.errors
    }


async def refusal(call: Any) -> tuple[str, str, str]:
    """Returns status, reason and field of a call that is expected to fail."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as failure:
        error = error_of(failure)
        return failure.code().name, error.reason.name, error.field
    raise AssertionError(f"the call succeeded: {answer}")
