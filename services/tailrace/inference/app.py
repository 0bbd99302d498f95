"""The inference process: everything is built here, and handed down."""

from __future__ import annotations

from dataclasses import dataclass

import grpc.aio

from tailrace.inference.backend import ModelBackend
from tailrace.inference.call_gate import CallLimits
from tailrace.inference.compile import InferencePlan, compile_for_inference
from tailrace.inference.handler import InferenceHandler
from tailrace.inference.model_watch import ModelWatch
from tailrace.inference.servicer import InferenceServicer
from tailrace.runtime.config import InferenceSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.server import GrpcServer
from tailrace.runtime.service_process import run_service
from tailrace.v1 import inference_service_pb2, inference_service_pb2_grpc

SERVICE = "inference"
SERVICE_NAME = inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name


@dataclass(frozen=True, slots=True)
class InferenceParts:
    """The hop's parts, put together; run `watch.run` beside the handler and close the backend.

    Attributes:
        registry: the pipelines; not read yet.
        backend: runs the models.
        watch: knows which of them are ready, once it runs.
        handler: does the hop's work.
    """

    registry: PipelineRegistry[InferencePlan]
    backend: ModelBackend
    watch: ModelWatch
    handler: InferenceHandler


def build(settings: InferenceSettings) -> InferenceParts:
    """Returns the parts that the settings ask for. Call it on the event loop that runs them."""
    registry = PipelineRegistry(
        settings.pipelines_dir,
        lambda pipeline: compile_for_inference(pipeline, settings.model_substitutes),
    )

    def plans() -> list[InferencePlan]:
        return [registry.find(pipeline.name) for pipeline in registry.pipelines()]

    backend = open_backend(settings)
    watch = ModelWatch(backend, plans, settings.model_poll_ms / 1000)
    limits = CallLimits(settings.model_max_in_flight, settings.model_max_queue)
    return InferenceParts(registry, backend, watch, InferenceHandler(backend, watch, limits))


def open_backend(settings: InferenceSettings) -> ModelBackend:
    """Returns the backend that the settings name."""
    # Imported here, as each costs much time and memory to import and only one is used.
    if settings.inference_backend == "onnxruntime":
        from tailrace.inference.onnx_backend import OnnxBackend

        return OnnxBackend(settings)
    from tailrace.inference.triton_backend import TritonBackend

    return TritonBackend(settings)


async def run(settings: InferenceSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    parts = build(settings)
    runner = HopRunner(SERVICE, parts.registry, settings)

    def add_servicers(server: grpc.aio.Server) -> None:
        servicer = InferenceServicer(runner, parts.handler)
        inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(servicer, server)

    async def watch_readiness(server: GrpcServer) -> None:
        await parts.watch.run(server.set_serving)

    try:
        await run_service(
            settings,
            SERVICE,
            (SERVICE_NAME,),
            parts.registry,
            add_servicers,
            watch_readiness=watch_readiness,
        )
    finally:
        await parts.backend.close()
