"""The feature service: builds everything and runs it."""

from __future__ import annotations

import asyncio
import functools

import grpc.aio
import structlog

from tailrace.features.feast.store_beside import StoreBeside
from tailrace.features.handler import FeatureHandler
from tailrace.features.key_cache import KeyCache
from tailrace.features.plan import compile_lookup
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.registry.answers import RegistryAnswers
from tailrace.features.registry.catalog_source import CatalogSource, ServedCatalog
from tailrace.features.registry.servicer import SERVICE_NAME as REGISTRY_SERVICE_NAME
from tailrace.features.registry.servicer import FeatureRegistryServicer
from tailrace.features.registry.stored_views import StoredViews
from tailrace.features.servicer import FeatureServicer
from tailrace.features.store import FeatureStore
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import Unavailable
from tailrace.runtime.hop_call import HopRunner
from tailrace.runtime.hop_parts import HopParts, TellReadiness
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.server import StartError
from tailrace.runtime.service_process import run_hop
from tailrace.v1 import feature_registry_service_pb2_grpc as registry_stubs
from tailrace.v1 import feature_service_pb2 as messages
from tailrace.v1 import feature_service_pb2_grpc as stubs

SERVICE = "features"
SERVICE_NAME = messages.DESCRIPTOR.services_by_name["FeatureService"].full_name
PING_INTERVAL_S = 0.5
PING_TIMEOUT_S = 1.0

_log = structlog.get_logger(__name__)


def build(
    settings: FeaturesSettings,
) -> HopParts[messages.LookupFeaturesRequest, messages.LookupFeaturesResponse]:
    """Returns the hop's parts; `watch` looks whether Redis answers.

    Raises:
        StartError: the Redis URL cannot be used.
    """
    store = open_store(settings)
    registry = PipelineRegistry(settings.pipelines_dir, compile_lookup)
    handler = FeatureHandler(store, max_keys=settings.max_keys_per_lookup)
    servicer = FeatureServicer(HopRunner(SERVICE, registry, settings), handler)
    answers = open_registry(settings, ServedCatalog(registry))
    registry_servicer = FeatureRegistryServicer(answers)

    def add_to(server: grpc.aio.Server) -> None:
        stubs.add_FeatureServiceServicer_to_server(servicer, server)
        registry_stubs.add_FeatureRegistryServiceServicer_to_server(registry_servicer, server)

    async def close() -> None:
        await asyncio.gather(store.close(), answers.close())

    return HopParts(
        hop=SERVICE,
        service_name=SERVICE_NAME,
        registry=registry,
        call=servicer.LookupFeatures,
        answer=servicer.answer,
        add_to=add_to,
        watch=functools.partial(watch_store, store),
        close=close,
        more_services=(REGISTRY_SERVICE_NAME,),
    )


async def run(settings: FeaturesSettings) -> None:
    """Serves features until SIGTERM or SIGINT. Raises StartError."""
    await run_hop(settings, build(settings))


def open_store(settings: FeaturesSettings) -> FeatureStore:
    """Returns the store that the settings name; it connects when first used.

    Raises:
        StartError: a Redis URL cannot be used.
    """
    own = _own_store(settings)
    feast_url = settings.feast_redis_url
    if feast_url is None or feast_url == settings.feature_redis_url:
        return own
    try:
        connections = settings.feature_redis_connections
        feast = RedisFeatureStore(feast_url, prefix="", connections=connections)
    except ValueError as error:
        raise StartError(f"features: TAILRACE_FEAST_REDIS_URL cannot be used: {error}") from error
    return StoreBeside(own, feast)


def _own_store(settings: FeaturesSettings) -> RedisFeatureStore:
    cache = None
    if settings.feature_cache_bytes:
        cache = KeyCache(settings.feature_cache_bytes, settings.feature_cache_ttl_ms / 1000)
    try:
        return RedisFeatureStore(
            settings.feature_redis_url,
            prefix=settings.feature_key_prefix,
            connections=settings.feature_redis_connections,
            cache=cache,
        )
    except ValueError as error:
        raise StartError(f"features: TAILRACE_FEATURE_REDIS_URL cannot be used: {error}") from error


def open_registry(settings: FeaturesSettings, source: CatalogSource) -> RegistryAnswers:
    """Returns what answers questions about views; it connects when first asked about stored rows.

    Its connections are its own, so that a scan holds no lookup up.

    Raises:
        StartError: a Redis URL cannot be used.
    """
    alone = {"feature_cache_bytes": 0, "feature_redis_connections": 1}
    store = open_store(settings.model_copy(update=alone))
    stored = StoredViews(settings.feature_redis_url, settings.feature_key_prefix, store)
    return RegistryAnswers(source, stored)


async def watch_store(store: FeatureStore, tell: TellReadiness) -> None:
    """Tells, until cancelled, whether the store answers."""
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
        await tell(answered)
        await asyncio.sleep(PING_INTERVAL_S)
