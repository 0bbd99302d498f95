"""The postprocess service: builds everything and runs it."""

from __future__ import annotations

import functools

from tailrace.postprocess.compile import compile_postprocess
from tailrace.postprocess.handler import PostprocessHandler
from tailrace.postprocess.servicer import PostprocessServicer
from tailrace.runtime.config import PostprocessSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.service_process import run_hop
from tailrace.v1 import postprocess_service_pb2 as messages
from tailrace.v1 import postprocess_service_pb2_grpc as stubs

SERVICE = "postprocess"
SERVICE_NAME = messages.DESCRIPTOR.services_by_name["PostprocessService"].full_name


def build(
    settings: PostprocessSettings,
) -> HopParts[messages.PostprocessRequest, messages.PostprocessResponse]:
    """Returns the hop's parts."""
    registry = PipelineRegistry(settings.pipelines_dir, compile_postprocess)
    servicer = PostprocessServicer(
        HopRunner(SERVICE, registry, settings), PostprocessHandler(settings)
    )
    return HopParts(
        hop=SERVICE,
        service_name=SERVICE_NAME,
        registry=registry,
        call=servicer.Postprocess,
        answer=servicer.answer,
        add_to=functools.partial(stubs.add_PostprocessServiceServicer_to_server, servicer),
    )


async def run(settings: PostprocessSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    await run_hop(settings, build(settings))
