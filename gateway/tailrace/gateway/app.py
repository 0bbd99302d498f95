"""Composition root of the gateway."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from typing import Any

import grpc.aio
import structlog

from tailrace.gateway.chain import Chain, HopPorts
from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.hop_caller import HopCaller
from tailrace.gateway.hop_compile import compile_everywhere
from tailrace.gateway.hop_port import HopPort
from tailrace.gateway.local_hop import LocalHop
from tailrace.gateway.local_hops import build_local_hops
from tailrace.gateway.open_inference import add_open_inference
from tailrace.gateway.prediction_servicer import PredictionServicer
from tailrace.gateway.predictor import Predictor
from tailrace.gateway.remote_hop import RemoteHop
from tailrace.runtime.channel import service_channel
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.placement import HOPS, parse_placement
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
# Requests are copied into the message for ingest, whose tensors may then take as much again.
CONVOY_BYTES_SHARE = 4

_log = structlog.get_logger(__name__)


async def run(settings: GatewaySettings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        StartError: a port is in use, or a hop that is placed here cannot be built.
    """
    places = parse_placement(settings.placement)
    local = build_local_hops(settings, [hop for hop in HOPS if places[hop] == "local"])
    channels = _open_channels(settings, [hop for hop in HOPS if places[hop] == "remote"])
    callers = {hop: HopCaller(hop, settings.max_attempts) for hop in HOPS}
    ports = HopPorts(
        **{
            hop: LocalHop(parts.answer, reads_requests=hop == "ingest")
            for hop, parts in local.parts.items()
        },
        **remote_ports(channels),
    )

    def compile_entrance(pipeline: Pipeline) -> ConvoyFormer:
        compile_everywhere(pipeline)
        return ConvoyFormer(Chain(pipeline, ports, callers), convoy_bounds(pipeline, settings))

    registry = PipelineRegistry(settings.pipelines_dir, compile_entrance)
    predictor = Predictor(registry, settings)
    draining = asyncio.Event()

    def add_servicers(server: grpc.aio.Server) -> None:
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionServicer(predictor, settings, draining), server
        )
        add_open_inference(predictor, server)

    async def tell_draining(server: GrpcServer) -> None:
        await server.draining.wait()
        draining.set()

    async def watch_readiness(server: GrpcServer) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(tell_draining(server))
            for job in local.jobs():
                group.create_task(job)
            await local.reached()
            await _connect_once(channels)
            await server.set_serving(True)

    try:
        await local.load()
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
        await local.close()


def _open_channels(
    settings: GatewaySettings, hops: Iterable[str]
) -> Mapping[str, grpc.aio.Channel]:
    """Returns a channel to each of some hops; it connects when first used."""
    targets = {
        "ingest": settings.ingest_target,
        "features": settings.features_target,
        "inference": settings.inference_target,
        "postprocess": settings.postprocess_target,
    }
    return {
        hop: service_channel(targets[hop], settings, settings.max_message_bytes) for hop in hops
    }


def convoy_bounds(pipeline: Pipeline, settings: GatewaySettings) -> ConvoyBounds:
    """Returns what the convoys of a pipeline stay within."""
    max_rows = min(settings.convoy_max_rows, settings.max_batch_rows)
    # Rows without their tensors are small on arrival; ingest makes them as large as declared.
    row_bytes = sum(
        math.prod(field.shape) * field.column_dtype.numpy.itemsize
        for field in pipeline.spec.request.fields.values()
        if field.type == "tensor"
    )
    if row_bytes:
        max_rows = max(1, min(max_rows, settings.max_message_bytes // row_bytes))
    target_ms = pipeline.spec.deadline.default_ms * settings.convoy_target_share
    return ConvoyBounds(
        max_rows=max_rows,
        max_in_flight=settings.convoy_max_in_flight,
        max_window_ns=int(settings.convoy_max_window_ms * NS_PER_MS),
        target_ns=int(target_ms * NS_PER_MS),
        max_queued_rows=settings.max_queued_rows,
        max_bytes=settings.max_message_bytes // CONVOY_BYTES_SHARE,
        # Hops that are all in this process take turns anyway.
        first_in_flight=2 if "remote" in parse_placement(settings.placement).values() else 1,
    )


def remote_ports(channels: Mapping[str, grpc.aio.Channel]) -> dict[str, HopPort]:
    """Returns ports for the hops that are gRPC services, by hop."""
    ports: dict[str, HopPort] = {}
    for hop, channel in channels.items():
        ports[hop] = RemoteHop(hop, _hop_method(hop, channel))
    return ports


def _hop_method(hop: str, channel: grpc.aio.Channel) -> Any:
    match hop:
        case "ingest":
            return ingest_service_pb2_grpc.IngestServiceStub(channel).Preprocess
        case "features":
            return feature_service_pb2_grpc.FeatureServiceStub(channel).LookupFeatures
        case "inference":
            return inference_service_pb2_grpc.InferenceServiceStub(channel).Infer
        case _:
            return postprocess_service_pb2_grpc.PostprocessServiceStub(channel).Postprocess


async def _connect_once(channels: Mapping[str, grpc.aio.Channel]) -> None:
    """Returns once every hop has been reached; connections are then warm."""

    async def connect(hop: str, channel: grpc.aio.Channel) -> None:
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            _log.info("connecting", hop=hop, state=state.name)
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)

    connections: Iterable[Any] = [connect(hop, channel) for hop, channel in channels.items()]
    await asyncio.gather(*connections)
