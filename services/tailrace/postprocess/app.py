"""The postprocess service as a process: builds everything and runs it."""

from __future__ import annotations

import grpc.aio

from tailrace.postprocess.compile import compile_postprocess
from tailrace.postprocess.handler import PostprocessHandler
from tailrace.postprocess.servicer import PostprocessServicer
from tailrace.runtime.config import PostprocessSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.service_process import run_service
from tailrace.v1 import postprocess_service_pb2, postprocess_service_pb2_grpc

SERVICE_NAME = postprocess_service_pb2.DESCRIPTOR.services_by_name["PostprocessService"].full_name


async def run(settings: PostprocessSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    registry = PipelineRegistry(settings.pipelines_dir, compile_postprocess)
    runner = HopRunner("postprocess", registry, settings)
    servicer = PostprocessServicer(runner, PostprocessHandler(settings))

    def add(server: grpc.aio.Server) -> None:
        postprocess_service_pb2_grpc.add_PostprocessServiceServicer_to_server(servicer, server)

    await run_service(settings, "postprocess", (SERVICE_NAME,), registry, add)
