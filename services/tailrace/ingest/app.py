"""The ingest service as a process: builds everything and runs it."""

from __future__ import annotations

from collections.abc import Callable

import grpc.aio

from tailrace.ingest.compile import CompiledIngest, compile_ingest
from tailrace.ingest.handler import IngestHandler
from tailrace.ingest.servicer import IngestServicer
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.service_process import run_service
from tailrace.v1 import ingest_service_pb2, ingest_service_pb2_grpc

SERVICE = "ingest"
SERVICE_NAME = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name


def build(
    settings: IngestSettings,
) -> tuple[PipelineRegistry[CompiledIngest], Callable[[grpc.aio.Server], None]]:
    """Returns the service's pipelines, not yet read, and what registers its servicer."""
    registry = PipelineRegistry(settings.pipelines_dir, compile_ingest)
    runner = HopRunner(SERVICE, registry, settings)
    servicer = IngestServicer(runner, IngestHandler(settings))

    def add_servicers(server: grpc.aio.Server) -> None:
        ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(servicer, server)

    return registry, add_servicers


async def run(settings: IngestSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    registry, add_servicers = build(settings)
    await run_service(settings, SERVICE, (SERVICE_NAME,), registry, add_servicers)
