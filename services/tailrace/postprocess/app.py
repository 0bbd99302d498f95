"""The postprocess service as a process: builds everything and runs it."""

from __future__ import annotations

from collections.abc import Callable

import grpc.aio

from tailrace.postprocess.compile import CompiledPostprocess, compile_postprocess
from tailrace.postprocess.handler import PostprocessHandler
from tailrace.postprocess.servicer import PostprocessServicer
from tailrace.runtime.config import PostprocessSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.service_process import run_service
from tailrace.v1 import postprocess_service_pb2, postprocess_service_pb2_grpc

SERVICE = "postprocess"
SERVICE_NAME = postprocess_service_pb2.DESCRIPTOR.services_by_name["PostprocessService"].full_name


def build(
    settings: PostprocessSettings,
) -> tuple[PipelineRegistry[CompiledPostprocess], Callable[[grpc.aio.Server], None]]:
    """Returns the service's pipelines, not yet read, and what registers its servicer."""
    registry = PipelineRegistry(settings.pipelines_dir, compile_postprocess)
    runner = HopRunner(SERVICE, registry, settings)
    servicer = PostprocessServicer(runner, PostprocessHandler(settings))

    def add_servicers(server: grpc.aio.Server) -> None:
        postprocess_service_pb2_grpc.add_PostprocessServiceServicer_to_server(servicer, server)

    return registry, add_servicers


async def run(settings: PostprocessSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    registry, add_servicers = build(settings)
    await run_service(settings, SERVICE, (SERVICE_NAME,), registry, add_servicers)
