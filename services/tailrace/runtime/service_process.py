"""Runs one hop's service as a process: the shape that all four share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import grpc.aio

from tailrace.runtime.config import ServerSettings
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.server import GrpcServer, StartError, background

Compiled = TypeVar("Compiled")


async def run_hop(settings: ServerSettings, parts: HopParts[Any, Any]) -> None:
    """Serves a hop until SIGTERM or SIGINT, and closes it. Raises StartError as `run_service`."""
    watch = parts.watch
    try:
        await run_service(
            settings,
            parts.hop,
            (parts.service_name, *parts.more_services),
            parts.registry,
            parts.add_to,
            None if watch is None else lambda server: watch(server.set_serving),
        )
    finally:
        await parts.close()


async def run_service(
    settings: ServerSettings,
    service: str,
    service_names: tuple[str, ...],
    registry: PipelineRegistry[Compiled],
    add_servicers: Callable[[grpc.aio.Server], None],
    watch_readiness: Callable[[GrpcServer], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: of the process.
        service: short name, such as `ingest`.
        service_names: full names of its gRPC services.
        registry: its pipelines; read before the port is bound.
        add_servicers: registers the servicer.
        watch_readiness: runs beside the server and calls `set_serving` as the outside world
            comes and goes; without it the process serves from the start.

    Raises:
        StartError: a port is in use, or there is no folder of pipelines.
    """
    if not settings.pipelines_dir.is_dir():
        raise StartError(
            f"there is no folder {settings.pipelines_dir} for pipeline files; name "
            "one with TAILRACE_PIPELINES_DIR"
        )
    await asyncio.to_thread(registry.load)
    server = GrpcServer(settings, service, service_names, add_servicers)
    await server.start()
    jobs: list[Coroutine[Any, Any, None]] = [registry.watch(settings.pipelines_poll_ms / 1000)]
    if watch_readiness is None:
        await server.set_serving(True)
    else:
        jobs.append(watch_readiness(server))
    try:
        async with background(*jobs):
            await server.serve_until_signalled()
    finally:
        await server.close()
