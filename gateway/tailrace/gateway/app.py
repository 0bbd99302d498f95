"""Composition root of the gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import structlog

from tailrace.gateway.chain import Chain, HopPorts
from tailrace.gateway.hop_caller import HopCaller
from tailrace.gateway.hop_compile import compile_everywhere
from tailrace.gateway.open_inference import add_open_inference
from tailrace.gateway.prediction_servicer import PredictionServicer
from tailrace.gateway.predictor import Predictor
from tailrace.gateway.remote_hop import RemoteHop
from tailrace.runtime.channel import service_channel
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.server import GrpcServer
from tailrace.runtime.service_process import run_service
from tailrace.v1 import (
    feature_service_pb2_grpc,
    inference_service_pb2_grpc,
    ingest_service_pb2_grpc,
    postprocess_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

PREDICTION_SERVICE = "tailrace.v1.PredictionService"
OPEN_INFERENCE_SERVICE = "inference.GRPCInferenceService"

_log = structlog.get_logger(__name__)


async def run(settings: GatewaySettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises StartError if a port is in use."""
    targets = {
        "ingest": settings.ingest_target,
        "features": settings.features_target,
        "inference": settings.inference_target,
        "postprocess": settings.postprocess_target,
    }
    channels = {
        hop: service_channel(target, settings, settings.max_message_bytes)
        for hop, target in targets.items()
    }
    callers = {hop: HopCaller(hop, settings.max_attempts) for hop in targets}
    ports = remote_ports(channels)

    def compile_chain(pipeline: Pipeline) -> Chain:
        compile_everywhere(pipeline)
        return Chain(pipeline, ports, callers)

    registry = PipelineRegistry(settings.pipelines_dir, compile_chain)
    predictor = Predictor(registry, settings)

    def add_servicers(server: grpc.aio.Server) -> None:
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionServicer(predictor), server
        )
        add_open_inference(predictor, server)

    async def watch_readiness(server: GrpcServer) -> None:
        await _connect_once(channels)
        await server.set_serving(True)

    try:
        await run_service(
            settings,
            "gateway",
            (PREDICTION_SERVICE, OPEN_INFERENCE_SERVICE),
            registry,
            add_servicers,
            watch_readiness,
        )
    finally:
        for channel in channels.values():
            await channel.close()


def remote_ports(channels: dict[str, grpc.aio.Channel]) -> HopPorts:
    """Returns ports for four hops that are all gRPC services."""
    ingest = ingest_service_pb2_grpc.IngestServiceStub(channels["ingest"])
    features = feature_service_pb2_grpc.FeatureServiceStub(channels["features"])
    inference = inference_service_pb2_grpc.InferenceServiceStub(channels["inference"])
    postprocess = postprocess_service_pb2_grpc.PostprocessServiceStub(channels["postprocess"])
    return HopPorts(
        ingest=RemoteHop("ingest", ingest.Preprocess),
        features=RemoteHop("features", features.LookupFeatures),
        inference=RemoteHop("inference", inference.Infer),
        postprocess=RemoteHop("postprocess", postprocess.Postprocess),
    )


async def _connect_once(channels: dict[str, grpc.aio.Channel]) -> None:
    """Returns once every hop has been reached; connections are then warm."""

    async def connect(hop: str, channel: grpc.aio.Channel) -> None:
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            _log.info("connecting", hop=hop, state=state.name)
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)

    connections: list[Any] = [connect(hop, channel) for hop, channel in channels.items()]
    await asyncio.gather(*connections)
