"""The event service: builds everything and runs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc.aio
import structlog

from tailrace.features.events.applier import Applier
from tailrace.features.events.catalog import EventCatalog
from tailrace.features.events.durability import DurabilityCheck
from tailrace.features.events.intake import EventIntake
from tailrace.features.events.servicer import EventServicer
from tailrace.features.events.stream_source import StreamSource
from tailrace.features.redis_link import RedisLink
from tailrace.features.windows.writer import RedisWindowWriter
from tailrace.runtime.config import EventsSettings
from tailrace.runtime.errors import Unavailable
from tailrace.runtime.server import GrpcServer, background
from tailrace.runtime.start_error import StartError
from tailrace.v1 import event_service_pb2, event_service_pb2_grpc

SERVICE = "events"
SERVICE_NAME = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name
CHECK_INTERVAL_S = 0.5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EventParts:
    """The event service, put together but not yet served.

    Attributes:
        catalog: the event types; not read yet.
        intake: takes in batches.
        link: to the feature Redis.
        durability: what is asked of it.
        source: reads Redis streams, or None.
    """

    catalog: EventCatalog
    intake: EventIntake
    link: RedisLink
    durability: DurabilityCheck
    source: StreamSource | None


@contextlib.asynccontextmanager
async def event_parts(settings: EventsSettings) -> AsyncIterator[EventParts]:
    """Puts the service together, and gives back what it holds. Raises StartError."""
    try:
        link = RedisLink(settings.feature_redis_url, client_name="tailrace-events")
        reading = RedisLink(settings.feature_redis_url, client_name="tailrace-events-reader")
    except ValueError as error:
        raise StartError(f"events: TAILRACE_FEATURE_REDIS_URL cannot be used: {error}") from error
    catalog = EventCatalog(settings.pipelines_dir)
    durability = DurabilityCheck(link, settings.events_durability)
    applier = Applier(
        RedisWindowWriter(link, settings.feature_key_prefix),
        durability,
        group_max=settings.events_group_max,
        timeout_s=settings.events_apply_timeout_ms / 1000,
    )
    intake = EventIntake(catalog, applier)
    source = None
    if settings.events_partitions:
        source = StreamSource(intake, link, reading, settings)
    try:
        yield EventParts(catalog, intake, link, durability, source)
    finally:
        await applier.close()
        await link.close()
        await reading.close()


async def run(settings: EventsSettings) -> None:
    """Takes in events until SIGTERM or SIGINT. Raises StartError as `serving`."""
    async with serving(settings) as server:
        await server.serve_until_signalled()


@contextlib.asynccontextmanager
async def serving(settings: EventsSettings) -> AsyncIterator[GrpcServer]:
    """Takes in events until the body is left, which drains the server first.

    Raises:
        StartError: a port is in use, the Redis URL cannot be used, or there is no folder of
            pipelines.
    """
    if not settings.pipelines_dir.is_dir():
        raise StartError(
            f"there is no folder {settings.pipelines_dir} for pipeline files; name "
            "one with TAILRACE_PIPELINES_DIR"
        )
    async with event_parts(settings) as parts:
        await asyncio.to_thread(parts.catalog.load)
        draining = asyncio.Event()
        servicer = EventServicer(parts.intake, settings, draining)
        server = GrpcServer(
            settings,
            SERVICE,
            (SERVICE_NAME,),
            lambda grpc_server: add_to(grpc_server, servicer),
        )
        await server.start()

        async def tell_draining() -> None:
            await server.draining.wait()
            draining.set()

        jobs = [
            parts.catalog.watch(settings.pipelines_poll_ms / 1000),
            _watch_store(parts, server, settings.events_apply_timeout_ms / 1000),
            tell_draining(),
        ]
        if parts.source is not None:
            jobs.append(parts.source.run(draining))
        try:
            async with background(*jobs):
                yield server
                if parts.source is not None:
                    await parts.source.ended()
        finally:
            await server.close()


def add_to(server: grpc.aio.Server, servicer: EventServicer) -> None:
    """Registers the servicer with a server."""
    event_service_pb2_grpc.add_EventServiceServicer_to_server(servicer, server)


async def _watch_store(parts: EventParts, server: GrpcServer, timeout_s: float) -> None:
    """Tells, until cancelled, whether the store answers, and is as durable as it has to be."""
    told = ""
    while True:
        problem = ""
        try:
            async with asyncio.timeout(timeout_s):
                await parts.durability.check(anew=True)
        except TimeoutError:
            problem = f"the feature store did not answer within {timeout_s:g} s"
            parts.link.reset(problem)
        except Unavailable as error:
            problem = error.message
        if problem and problem != told:
            _log.warning("events cannot be taken in", problem=problem)
        elif told and not problem:
            _log.info("events can be taken in again")
        told = problem
        await server.set_serving(not problem)
        await asyncio.sleep(CHECK_INTERVAL_S)
