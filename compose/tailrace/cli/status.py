"""`tailrace status`: whether the processes of a mesh can serve, asked of each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import redis.asyncio
from rich.console import Console
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.cli.columns import print_columns
from tailrace.cli.health import SERVING, ask_health_at
from tailrace.cli.local.scrape_targets import TARGETS_FILE
from tailrace.cli.local.state import MeshState, ProcessState, TritonState
from tailrace.cli.queue_server import QUEUE_REDIS
from tailrace.runtime.config import TransportSettings
from tailrace.submissions.durability import ServerState

_ASK_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class ProcessStatus:
    """What one process says of itself.

    Attributes:
        process: the process.
        health: `SERVING`, or what else it answers, or why it does not.
        version: the server's version, as it says itself; empty for the mesh's own.
        durability: of the queue Redis: what is on disk before a submission is acknowledged, as the
            server is set now; empty for the others.
    """

    process: ProcessState
    health: str
    version: str = ""
    durability: str = ""

    @property
    def serving(self) -> bool:
        """True if it can serve."""
        return self.health == SERVING


async def ask_mesh(state: MeshState, transport: TransportSettings) -> list[ProcessStatus]:
    """Returns what each process of the mesh says of itself, asked all at once."""
    tritons = {triton.target: triton for triton in state.tritons}
    redises = _redis_urls(state)

    async def ask(process: ProcessState) -> ProcessStatus:
        if not process.alive:
            return ProcessStatus(process, f"GONE (pid {process.pid})")
        if process.name in redises:
            return await _ask_redis(process, redises[process.name])
        target = f"127.0.0.1:{process.grpc_port}"
        if target in tritons:
            return await _ask_triton(process, tritons[target])
        return ProcessStatus(process, await ask_health_at(target, transport))

    return list(await asyncio.gather(*(ask(process) for process in state.processes)))


def print_status(console: Console, state: MeshState, statuses: list[ProcessStatus]) -> None:
    """Prints one line per process."""
    redises = _redis_urls(state)
    rows = [("process", "health", "version", "gRPC", "metrics", "pid")]
    for status in statuses:
        process = status.process
        target = f"127.0.0.1:{process.grpc_port}" if process.grpc_port else ""
        rows.append(
            (
                process.name,
                status.health,
                f"{status.version}, durability {status.durability}"
                if status.durability
                else status.version,
                redises.get(process.name, target),
                str(process.metrics_port or ""),
                str(process.pid),
            )
        )
    since = f"{state.started_at:%Y-%m-%d %H:%M:%S} UTC"
    console.print(f"mesh [bold]{state.mesh}[/], up since {since}", highlight=False)
    styles = {status.health: "green" if status.serving else "red" for status in statuses}
    print_columns(console, rows, styles)
    if (targets := _targets_file(state)) is not None:
        console.print(f"for Prometheus (file_sd_configs): {targets}", highlight=False)


def status_summary(state: MeshState, statuses: list[ProcessStatus]) -> dict[str, Any]:
    """Returns the same, ready to be written as JSON."""
    targets = _targets_file(state)
    return {
        "mesh": state.mesh,
        "serving": all(status.serving for status in statuses),
        "redis_version": state.redis.version,
        "queue_durability": next((s.durability for s in statuses if s.durability), None),
        "triton_version": state.tritons[0].version if state.tritons else None,
        "pipelines": list(state.pipelines),
        "prometheus_targets": None if targets is None else str(targets),
        "processes": {
            status.process.name: {
                "health": status.health,
                "version": status.version or None,
                "pid": status.process.pid,
                "grpc_port": status.process.grpc_port,
                "metrics_port": status.process.metrics_port,
                "log": str(status.process.log_path),
            }
            for status in statuses
        },
    }


def _targets_file(state: MeshState) -> Path | None:
    # The launcher's logs are in the folder of its mesh.
    path = state.launcher.log_path / TARGETS_FILE
    return path if path.is_file() else None


def _redis_urls(state: MeshState) -> dict[str, str]:
    urls = {"redis": state.redis.url}
    return urls | ({QUEUE_REDIS: state.queue_redis.url} if state.queue_redis else {})


async def _ask_redis(process: ProcessState, url: str) -> ProcessStatus:
    client = redis.asyncio.Redis.from_url(
        url, socket_timeout=_ASK_TIMEOUT_S, socket_connect_timeout=_ASK_TIMEOUT_S
    )
    try:
        info = await client.info("server")
        durability = await _durability(client, info) if process.name == QUEUE_REDIS else ""
    except redis.RedisError as error:
        return ProcessStatus(process, type(error).__name__)
    finally:
        await client.aclose()
    return ProcessStatus(process, SERVING, f"Redis {info['redis_version']}", durability)


async def _durability(client: redis.asyncio.Redis, info: Mapping[str, Any]) -> str:
    config: dict[str | None, str | None] = {}
    # One at a time: Redis 6 takes no more.
    for name in ("appendonly", "appendfsync", "maxmemory-policy"):
        config |= await client.config_get(name)
    return ServerState(
        version=str(info["redis_version"]),
        memory_policy=str(config["maxmemory-policy"]),
        append_only=config["appendonly"] == "yes",
        append_fsync=config["appendfsync"],
    ).durability


async def _ask_triton(process: ProcessState, triton: TritonState) -> ProcessStatus:
    async with grpc.aio.insecure_channel(triton.target) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            ready = await stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=_ASK_TIMEOUT_S)
            request = service_pb2.ServerMetadataRequest()
            metadata = await stub.ServerMetadata(request, timeout=_ASK_TIMEOUT_S)
            for model in triton.models:
                model_request = service_pb2.ModelReadyRequest(name=model)
                reply = await stub.ModelReady(model_request, timeout=_ASK_TIMEOUT_S)
                if not reply.ready:
                    return ProcessStatus(process, f"MODEL {model} NOT READY", metadata.version)
        except grpc.aio.AioRpcError as error:
            return ProcessStatus(process, error.code().name)
    health = SERVING if ready.ready else "NOT_SERVING"
    return ProcessStatus(process, health, f"Triton {metadata.version}")
