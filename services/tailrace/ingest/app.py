"""The ingest service as a process: builds everything and runs it."""

from __future__ import annotations

import grpc.aio

from tailrace.ingest.compile import compile_ingest
from tailrace.ingest.handler import IngestHandler
from tailrace.ingest.servicer import IngestServicer
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.service_process import run_service
from tailrace.v1 import ingest_service_pb2, ingest_service_pb2_grpc

SERVICE_NAME = ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name


async def run(settings: IngestSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    registry = PipelineRegistry(settings.pipelines_dir, compile_ingest)
    runner = HopRunner("ingest", registry, settings)
    servicer = IngestServicer(runner, IngestHandler(settings))

    def add(server: grpc.aio.Server) -> None:
        ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(servicer, server)

    await run_service(settings, "ingest", (SERVICE_NAME,), registry, add)
