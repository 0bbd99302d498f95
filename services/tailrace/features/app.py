"""The feature service as a process: builds everything and serves."""

from __future__ import annotations

import asyncio

import grpc.aio
import structlog

from tailrace.features.handler import FeatureHandler
from tailrace.features.plan import compile_lookup
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.servicer import FeatureServicer
from tailrace.features.store import FeatureStore
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import Unavailable
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.server import GrpcServer, StartError
from tailrace.runtime.service_process import run_service
from tailrace.v1 import feature_service_pb2, feature_service_pb2_grpc

SERVICE_NAME = feature_service_pb2.DESCRIPTOR.services_by_name["FeatureService"].full_name
PING_INTERVAL_S = 0.5
PING_TIMEOUT_S = 1.0

_log = structlog.get_logger(__name__)


async def run(settings: FeaturesSettings) -> None:
    """Serves features until SIGTERM or SIGINT. Raises StartError."""
    store = open_store(settings)
    registry = PipelineRegistry(settings.pipelines_dir, compile_lookup)
    handler = FeatureHandler(store, max_keys=settings.max_keys_per_lookup)
    servicer = FeatureServicer(HopRunner("features", registry, settings), handler)

    def add_servicers(server: grpc.aio.Server) -> None:
        feature_service_pb2_grpc.add_FeatureServiceServicer_to_server(servicer, server)

    async def watch_readiness(server: GrpcServer) -> None:
        await watch_store(store, server)

    try:
        await run_service(
            settings,
            "features",
            (feature_service_pb2.DESCRIPTOR.services_by_name["FeatureService"].full_name,),
            registry,
            add_servicers,
            watch_readiness,
        )
    finally:
        await store.close()


def open_store(settings: FeaturesSettings) -> RedisFeatureStore:
    """Returns the store that the settings name; it connects when first used.

    Raises:
        StartError: the Redis URL cannot be used.
    """
    try:
        return RedisFeatureStore(
            settings.feature_redis_url,
            prefix=settings.feature_key_prefix,
            connections=settings.feature_redis_connections,
        )
    except ValueError as error:
        raise StartError(f"features: TAILRACE_FEATURE_REDIS_URL cannot be used: {error}") from error


async def watch_store(store: FeatureStore, server: GrpcServer) -> None:
    """Tells health checks, until cancelled, whether the store answers."""
    answered: bool | None = None
    while True:
        try:
            await store.ping(PING_TIMEOUT_S)
        except Unavailable as error:
            if answered is not False:
                _log.warning("feature store lost", problem=error.message)
            answered = False
        else:
            if answered is False:
                _log.info("feature store found")
            answered = True
        await server.set_serving(answered)
        await asyncio.sleep(PING_INTERVAL_S)
