"""The chains of a process: an entrance for each pipeline version, and the hops behind them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping
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
from tailrace.gateway.remote_hop import RemoteHop
from tailrace.runtime.channel import service_channel
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.pipeline.column_kind import Kinds, request_kinds
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.placement import HOPS, parse_placement
from tailrace.runtime.unary_method import UnaryMethod
from tailrace.v1 import (
    batch_pb2,
    feature_service_pb2_grpc,
    inference_service_pb2_grpc,
    ingest_service_pb2_grpc,
    postprocess_service_pb2_grpc,
)

# Requests are copied into the message for ingest, whose tensors may then take as much again.
CONVOY_BYTES_SHARE = 4

TakeTiming = Callable[[batch_pb2.HopTiming], None]

_log = structlog.get_logger(__name__)


class ServedChains:
    """What a process sends requests through: hops as placed by its settings.

    Make it on the event loop that will run it, and close it.

    Attributes:
        registry: the entrance of every pipeline version; not read before `load`.
    """

    def __init__(
        self, settings: GatewaySettings, process: str, take_timing: TakeTiming | None = None
    ) -> None:
        """Puts the hops together; nothing is called yet.

        Args:
            settings: where the hops are, and limits.
            process: name of the process, for errors.
            take_timing: is handed what remote hops say that they spent.

        Raises:
            StartError: a hop that is placed here cannot be built.
        """
        places = parse_placement(settings.placement)
        local = [hop for hop in HOPS if places[hop] == "local"]
        self._local = build_local_hops(settings, local, process)
        self._channels = _open_channels(settings, [hop for hop in HOPS if hop not in local])
        callers = {hop: HopCaller(hop, settings.max_attempts) for hop in HOPS}
        ports = HopPorts(
            **{
                hop: LocalHop(parts.answer, reads_requests=hop == "ingest")
                for hop, parts in self._local.parts.items()
            },
            **remote_ports(self._channels, take_timing),
        )

        def compile_entrance(pipeline: Pipeline) -> ConvoyFormer:
            compile_everywhere(pipeline)
            return ConvoyFormer(Chain(pipeline, ports, callers), convoy_bounds(pipeline, settings))

        self.registry = PipelineRegistry(settings.pipelines_dir, compile_entrance)

    async def load(self) -> None:
        """Reads the pipelines of the hops that are here; those of the registry are others'."""
        await self._local.load()

    def jobs(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Yields what has to run beside the hops that are here."""
        yield from self._local.jobs()

    async def reached(self) -> None:
        """Returns once every hop has been able to serve, or been reached; jobs must be running."""
        await self._local.reached()
        await _connect_once(self._channels)

    def connected(self) -> bool:
        """Returns whether every hop that is a service is there, as far as its channel knows."""
        return all(
            channel.get_state() is grpc.ChannelConnectivity.READY
            for channel in self._channels.values()
        )

    async def close(self) -> None:
        """Gives back what the hops hold."""
        for channel in self._channels.values():
            await channel.close()
        await self._local.close()


def convoy_bounds(pipeline: Pipeline, settings: GatewaySettings) -> ConvoyBounds:
    """Returns what the convoys of a pipeline stay within."""
    max_rows = min(settings.convoy_max_rows, settings.max_batch_rows)
    # Rows without their tensors are small on arrival; ingest makes them as large as declared, and
    # for every element of a list come its features.
    read = {name: pipeline.columns[name] for name in pipeline.model_columns()}
    row_bytes = max(_row_bytes(request_kinds(pipeline.spec.request)), _row_bytes(read))
    if row_bytes:
        max_rows = max(1, min(max_rows, settings.max_message_bytes // row_bytes))
    row_keys = sum(plan.elements or 1 for plan in pipeline.views)
    if row_keys:
        max_rows = max(1, min(max_rows, settings.max_keys_per_lookup // row_keys))
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


def _row_bytes(columns: Kinds) -> int:
    """Returns the bytes of the tensors and lists of one row."""
    return sum(
        math.prod(kind.row_shape) * kind.dtype.numpy.itemsize
        for kind in columns.values()
        if kind.row_shape
    )


def remote_ports(
    channels: Mapping[str, grpc.aio.Channel], take_timing: TakeTiming | None = None
) -> dict[str, HopPort]:
    """Returns ports for the hops that are gRPC services, by hop."""
    ports: dict[str, HopPort] = {}
    for hop, channel in channels.items():
        ports[hop] = RemoteHop(hop, UnaryMethod(_hop_method(hop, channel)), take_timing)
    return ports


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
