"""Where `tailrace features list` and the like get their answers: a feature service, or files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio

from tailrace.cli.feature_options import FeaturesFailed, features_settings, store_place
from tailrace.cli.gateway_options import GatewayOptions, timeout_s
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.state import StateMissing
from tailrace.features.app import open_registry
from tailrace.features.registry.catalog import Catalog
from tailrace.features.registry.catalog_source import FixedCatalog
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import TailraceError, Unavailable
from tailrace.runtime.pipeline.directory import (
    DirectoryContent,
    features_directory,
    load_directory,
    load_views,
)
from tailrace.runtime.start_error import StartError
from tailrace.v1 import feature_registry_service_pb2 as pb
from tailrace.v1 import feature_registry_service_pb2_grpc as stubs


class Registry(Protocol):
    """Answers what is asked about views; see `RegistryAnswers`."""

    async def list_views(self, request: pb.ListViewsRequest) -> pb.ListViewsResponse:
        """Returns a page of views."""

    async def search_features(self, request: pb.SearchFeaturesRequest) -> pb.SearchFeaturesResponse:
        """Returns what fits words."""

    async def get_view(self, request: pb.GetViewRequest) -> pb.GetViewResponse:
        """Returns what is known of a view from files."""

    async def get_view_statistics(
        self, request: pb.GetViewStatisticsRequest
    ) -> pb.GetViewStatisticsResponse:
        """Returns what is stored of a view."""

    async def get_entity(self, request: pb.GetEntityRequest) -> pb.GetEntityResponse:
        """Returns what is stored of entities."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the options said.

    Attributes:
        service: which feature service to ask, and how long to wait.
        redis_url: Redis to read, or None.
        views_dir: folder of view files to read, or None.
    """

    service: GatewayOptions
    redis_url: str | None
    views_dir: Path | None


@asynccontextmanager
async def open_source(options: SourceOptions) -> AsyncIterator[tuple[Registry, str]]:
    """Gives what answers, and what to call it.

    A service that is named is asked; files that are named, by options or settings, are read.
    Where nothing is named, the mesh that is up on this machine is asked, and without one the files
    of the default folder are read.

    Raises:
        FeaturesFailed: there is nothing to ask or to read, or an answer is an error.
        LaunchError: no such mesh is up, or several are.
    """
    service = options.service
    settings = features_settings(options.redis_url)
    by_files = options.redis_url is not None or options.views_dir is not None
    if by_files and (service.target or service.name):
        raise FeaturesFailed("give --target or --name, or else --views-dir and --redis-url")
    named = {"pipelines_dir", "feature_redis_url"} & settings.model_fields_set
    target: str | None = None
    if not by_files and (service.target or service.name or not named):
        try:
            target = service.target or service.address("features")
        except LaunchError as error:
            if not isinstance(error.__cause__, StateMissing):
                without = "; without a service, name files: --views-dir DIR --redis-url URL"
                raise FeaturesFailed(f"{error}{without}") from error
            if service.name or not settings.pipelines_dir.is_dir():
                raise FeaturesFailed(
                    "no mesh is up. Name a feature service (--target HOST:PORT), or a folder of "
                    "view files (--views-dir DIR); or start a mesh (tailrace up FOLDER)"
                ) from None
    source = _files(options, settings) if target is None else _service(service, target)
    try:
        async with source as (registry, place):
            yield registry, place
    except Unavailable as error:
        where = f" (Redis at {store_place(settings)})" if target is None else f" ({target})"
        raise FeaturesFailed(f"{error.message}{where}") from error
    except TailraceError as error:
        raise FeaturesFailed(error.message) from error
    except StartError as error:
        raise FeaturesFailed(str(error)) from error
    except grpc.aio.AioRpcError as error:
        code = error.code()
        if code is grpc.StatusCode.UNIMPLEMENTED:
            raise FeaturesFailed(
                f"what listens at {target} is no feature service: name the address of one "
                "(--target HOST:PORT; `tailrace status` tells that of the process `features` of a "
                "mesh on this machine, which is asked where --target is left out)"
            ) from error
        prefix = (
            ""
            if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
            else (f"the feature service at {target}: {code.name}: ")
        )
        raise FeaturesFailed(f"{prefix}{error.details()}") from error


@asynccontextmanager
async def _files(
    options: SourceOptions, settings: FeaturesSettings
) -> AsyncIterator[tuple[Registry, str]]:
    catalog = await asyncio.to_thread(_read_files, settings, options.views_dir)
    answers = open_registry(settings, FixedCatalog(catalog))
    try:
        yield answers, f"files, and Redis at {store_place(settings)}"
    finally:
        await answers.close()


def _read_files(settings: FeaturesSettings, views_dir: Path | None) -> Catalog:
    of_pipelines = features_directory(settings.pipelines_dir)
    folder = of_pipelines if views_dir is None else views_dir
    if not folder.is_dir():
        raise FeaturesFailed(f"there is no folder {folder}; name that of the views: --views-dir")
    if settings.pipelines_dir.is_dir() and folder.resolve() == of_pipelines.resolve():
        content = load_directory(settings.pipelines_dir)
    else:
        # Whose views these are is not known, and so neither is who uses them.
        found = load_views(folder)
        content = DirectoryContent(
            views=found.views, events=found.events, files=found.files, errors=found.errors
        )
    pipelines = [content.pipelines[name] for name in sorted(content.pipelines)]
    return Catalog(content, pipelines, content.errors)


@asynccontextmanager
async def _service(options: GatewayOptions, target: str) -> AsyncIterator[tuple[Registry, str]]:
    async with options.channel(target) as channel:
        yield _Service(channel, timeout_s(options.timeout)), f"the feature service at {target}"


class _Service:
    """Asks a feature service."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float) -> None:
        self._stub = stubs.FeatureRegistryServiceStub(channel)
        self._timeout = timeout

    async def list_views(self, request: pb.ListViewsRequest) -> pb.ListViewsResponse:
        return await self._stub.ListViews(request, timeout=self._timeout)

    async def search_features(self, request: pb.SearchFeaturesRequest) -> pb.SearchFeaturesResponse:
        return await self._stub.SearchFeatures(request, timeout=self._timeout)

    async def get_view(self, request: pb.GetViewRequest) -> pb.GetViewResponse:
        return await self._stub.GetView(request, timeout=self._timeout)

    async def get_view_statistics(
        self, request: pb.GetViewStatisticsRequest
    ) -> pb.GetViewStatisticsResponse:
        return await self._stub.GetViewStatistics(request, timeout=self._timeout)

    async def get_entity(self, request: pb.GetEntityRequest) -> pb.GetEntityResponse:
        return await self._stub.GetEntity(request, timeout=self._timeout)
