"""`tailrace.v1.FeatureRegistryService` over gRPC."""

from __future__ import annotations

from typing import Any

from tailrace.features.registry.answers import RegistryAnswers
from tailrace.v1 import feature_registry_service_pb2 as pb
from tailrace.v1 import feature_registry_service_pb2_grpc as stubs

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["FeatureRegistryService"].full_name


class FeatureRegistryServicer(stubs.FeatureRegistryServiceServicer):
    """Passes each call on to `RegistryAnswers`."""

    def __init__(self, answers: RegistryAnswers) -> None:
        """Keeps what answers."""
        self._answers = answers

    async def ListViews(self, request: pb.ListViewsRequest, context: Any) -> pb.ListViewsResponse:
        """Returns a page of views. See the proto."""
        return await self._answers.list_views(request)

    async def SearchFeatures(
        self, request: pb.SearchFeaturesRequest, context: Any
    ) -> pb.SearchFeaturesResponse:
        """Returns views and features that fit words. See the proto."""
        return await self._answers.search_features(request)

    async def GetView(self, request: pb.GetViewRequest, context: Any) -> pb.GetViewResponse:
        """Returns what is known of a view from files. See the proto."""
        return await self._answers.get_view(request)

    async def GetViewStatistics(
        self, request: pb.GetViewStatisticsRequest, context: Any
    ) -> pb.GetViewStatisticsResponse:
        """Returns what is stored of a view. See the proto."""
        return await self._answers.get_view_statistics(request)

    async def GetEntity(self, request: pb.GetEntityRequest, context: Any) -> pb.GetEntityResponse:
        """Returns what is stored of entities. See the proto."""
        return await self._answers.get_entity(request)

    async def ListEventTypes(
        self, request: pb.ListEventTypesRequest, context: Any
    ) -> pb.ListEventTypesResponse:
        """Returns a page of event types. See the proto."""
        return await self._answers.list_event_types(request)
