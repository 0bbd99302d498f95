"""The inference service: builds everything and runs it."""

from __future__ import annotations

import functools

from tailrace.inference.backend import ModelBackend
from tailrace.inference.call_gate import CallLimits
from tailrace.inference.compile import InferencePlan, compile_for_inference
from tailrace.inference.handler import InferenceHandler
from tailrace.inference.model_watch import ModelWatch
from tailrace.inference.servicer import InferenceServicer
from tailrace.runtime.config import InferenceSettings
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.service_process import run_hop
from tailrace.v1 import inference_service_pb2 as messages
from tailrace.v1 import inference_service_pb2_grpc as stubs

SERVICE = "inference"
SERVICE_NAME = messages.DESCRIPTOR.services_by_name["InferenceService"].full_name


def build(settings: InferenceSettings) -> HopParts[messages.InferRequest, messages.InferResponse]:
    """Returns the hop's parts; `watch` learns which models are ready."""
    registry = PipelineRegistry(
        settings.pipelines_dir,
        lambda pipeline: compile_for_inference(pipeline, settings.model_substitutes),
    )

    def plans() -> list[InferencePlan]:
        return [registry.find(pipeline.name) for pipeline in registry.pipelines()]

    backend = open_backend(settings)
    watch = ModelWatch(backend, plans, settings.model_poll_ms / 1000)
    limits = CallLimits(settings.model_max_in_flight, settings.model_max_queue)
    handler = InferenceHandler(backend, watch, limits)
    servicer = InferenceServicer(HopRunner(SERVICE, registry, settings), handler)
    return HopParts(
        hop=SERVICE,
        service_name=SERVICE_NAME,
        registry=registry,
        call=servicer.Infer,
        answer=servicer.answer,
        add_to=functools.partial(stubs.add_InferenceServiceServicer_to_server, servicer),
        watch=watch.run,
        close=backend.close,
    )


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
    await run_hop(settings, build(settings))
