"""The ingest service: builds everything and runs it."""

from __future__ import annotations

import functools

from tailrace.ingest.compile import compile_ingest
from tailrace.ingest.handler import IngestHandler
from tailrace.ingest.servicer import IngestServicer
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.service_process import run_hop
from tailrace.v1 import ingest_service_pb2 as messages
from tailrace.v1 import ingest_service_pb2_grpc as stubs

SERVICE = "ingest"
SERVICE_NAME = messages.DESCRIPTOR.services_by_name["IngestService"].full_name


def build(
    settings: IngestSettings,
) -> HopParts[messages.PreprocessRequest, messages.PreprocessResponse]:
    """Returns the hop's parts."""
    registry = PipelineRegistry(settings.pipelines_dir, compile_ingest)
    servicer = IngestServicer(HopRunner(SERVICE, registry, settings), IngestHandler(settings))
    return HopParts(
        hop=SERVICE,
        service_name=SERVICE_NAME,
        registry=registry,
        call=servicer.Preprocess,
        answer=servicer.answer,
        add_to=functools.partial(stubs.add_IngestServiceServicer_to_server, servicer),
    )


async def run(settings: IngestSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    await run_hop(settings, build(settings))
