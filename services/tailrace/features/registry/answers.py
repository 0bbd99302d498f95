"""The answers of the feature registry, for gRPC and for commands that read files themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from tailrace.features.handler import wall_clock_us
from tailrace.features.pointer import Pointer
from tailrace.features.registry.catalog import Catalog, CatalogView
from tailrace.features.registry.catalog_source import CatalogSource
from tailrace.features.registry.entities import EntityReader
from tailrace.features.registry.entity_keys import entity_keys, instant_us
from tailrace.features.registry.entity_messages import entity_messages
from tailrace.features.registry.paging import page_of
from tailrace.features.registry.search import MAX_QUERY, words_of
from tailrace.features.registry.statistics_messages import (
    add_loaded,
    feature_types,
    sample_statistics,
    set_age,
    stored_view,
    timestamp,
)
from tailrace.features.registry.stored_views import StoredViews
from tailrace.features.registry.view_messages import (
    consumer_message,
    event_message,
    hit_message,
    microseconds,
    view_detail,
    view_summary,
)
from tailrace.features.registry.window_sample import sample_windows
from tailrace.runtime.errors import InvalidField, LimitExceeded, NotFound, Unavailable
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.v1 import feature_registry_service_pb2 as pb

MAX_ENTITIES = 100
"""Most entities of one call."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Most bytes of the vectors of one answer."""
DEFAULT_HITS, MAX_HITS = 20, 100
DEFAULT_SAMPLE, MAX_SAMPLE = 1000, 10_000

Found = TypeVar("Found")

_KINDS = ("static", "windowed", "feast")
_OF_FEAST = (
    "Feast writes this view, and tells nothing of rows, loads and values; single entities can be "
    "looked at"
)


class RegistryAnswers:
    """Answers what is asked about views. Each method answers one call of the service."""

    def __init__(
        self,
        source: CatalogSource,
        stored: StoredViews,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        """Keeps the parts.

        Args:
            source: gives the catalog.
            stored: reads the feature store.
            now_us: what ages are counted to, microseconds since 1970.
        """
        self._source = source
        self._stored = stored
        self._now_us = now_us

    async def list_views(self, request: pb.ListViewsRequest) -> pb.ListViewsResponse:
        """Returns a page of views.

        Raises:
            InvalidField: an unknown kind.
            NotFound: there is no such pipeline.
        """
        if request.kind and request.kind not in _KINDS:
            found = f"{request.kind[:64]!r}, expected one of: {', '.join(_KINDS)}"
            raise InvalidField(found, field="kind")
        if request.pipeline:
            await self._find(request.pipeline, Catalog.check_pipeline)
        catalog = self._source.current()
        fitting = [name for name, entry in catalog.views.items() if _fits(entry, request)]
        page, token = page_of(fitting, request.page_size, request.page_token)
        answer = pb.ListViewsResponse(
            views=[view_summary(catalog.views[name]) for name in page],
            next_page_token=token,
            total=len(fitting),
            refused_files=[
                pb.RefusedFile(file=file, problems=problems)
                for file, problems in catalog.errors.items()
            ],
        )
        if request.include_stored:
            try:
                pointers = await self._stored.pointers(page)
            except Unavailable as error:
                answer.stored_problem = error.message
                return answer
            for summary, data in zip(answer.views, pointers, strict=True):
                view = catalog.views[summary.name].view
                if view.kind != "feast":
                    summary.stored.CopyFrom(stored_view(view, data, self._now_us()))
        return answer

    async def search_features(self, request: pb.SearchFeaturesRequest) -> pb.SearchFeaturesResponse:
        """Returns what fits the words. Raises InvalidField: there are none, or too many."""
        if len(request.query) > MAX_QUERY:
            found = f"{len(request.query)} characters, expected at most {MAX_QUERY}"
            raise InvalidField(found, field="query")
        if not words_of(request.query):
            raise InvalidField("no words to search for", field="query")
        index = self._source.current().index
        hits = await asyncio.to_thread(index.find, request.query)
        shown = hits[: min(request.max_hits or DEFAULT_HITS, MAX_HITS)]
        suggestions = [] if hits else await asyncio.to_thread(index.suggestions, request.query)
        return pb.SearchFeaturesResponse(
            hits=[hit_message(hit) for hit in shown],
            further=len(hits) - len(shown),
            suggestions=suggestions,
        )

    async def get_view(self, request: pb.GetViewRequest) -> pb.GetViewResponse:
        """Returns what is known of a view from files. Raises NotFound."""
        entry = await self._find(request.view, Catalog.find)
        catalog = self._source.current()
        answer = pb.GetViewResponse(
            view=view_detail(entry),
            consumers=[consumer_message(consumer) for consumer in entry.consumers],
        )
        if entry.view.kind == "windowed":
            event = catalog.events.get(entry.view.events.event)
            if event is not None:
                answer.event_type.CopyFrom(event_message(event, catalog.views))
        return answer

    async def get_view_statistics(
        self, request: pb.GetViewStatisticsRequest
    ) -> pb.GetViewStatisticsResponse:
        """Returns what is stored of a view.

        Raises:
            NotFound: there is no such view.
            InvalidField: an instant outside of the years 1 to 9999.
            Unavailable: the store cannot be reached or cannot serve.
        """
        view = (await self._find(request.view, Catalog.find)).view
        now_us = at_us = self._now_us()
        if request.HasField("at"):
            at_us = instant_us(request.at.seconds, request.at.nanos, "at")
        answer = pb.GetViewStatisticsResponse(
            view=view.view, kind=view.kind, max_age_us=microseconds(view.max_age)
        )
        if view.kind == "feast":
            answer.notes.append(_OF_FEAST)
            return answer
        pointer, statistics = await self._stored.statistics(view.view)
        answer.stored.CopyFrom(stored_view(view, pointer, now_us))
        if pointer is None or answer.stored.problem:
            return answer
        if answer.stored.schema_changed:
            answer.notes.append("what is stored was made by another definition of the view")
        if view.kind == "static":
            types = {} if answer.stored.schema_changed else feature_types(view)
            add_loaded(answer, statistics, types)
            if request.HasField("at"):
                answer.notes.append("a static view has no past: what is told is of its last load")
        elif not answer.stored.schema_changed:
            limit = min(request.sample_entities or DEFAULT_SAMPLE, MAX_SAMPLE)
            found = Pointer.from_json(view.view, pointer)
            sample = await sample_windows(self._stored, EntityReader(view), found, limit, at_us)
            answer.sample.CopyFrom(sample_statistics(sample, feature_types(view)))
            if sample.newest_us is not None:
                set_age(answer.stored, view, now_us - sample.newest_us)
        return answer

    async def get_entity(self, request: pb.GetEntityRequest) -> pb.GetEntityResponse:
        """Returns what is stored of entities.

        Raises:
            NotFound: there is no such view.
            InvalidField: a key is missing, unknown or of another type, or there is no entity.
            LimitExceeded: too many entities.
            Unavailable: the store cannot be reached or cannot serve.
            FeaturesCorrupt: the view is stored under another definition.
        """
        view = (await self._find(request.view, Catalog.find)).view
        _check_count(view, len(request.entities))
        asked = [entity.keys for entity in request.entities]
        keys = entity_keys(view.keys, asked)
        at_us = self._now_us()
        if request.HasField("at"):
            at_us = instant_us(request.at.seconds, request.at.nanos, "at")
        reader = EntityReader(view)
        instants = np.full(len(keys), at_us, np.int64)
        found, has_pointer = await self._stored.read(reader.source, keys, instants)
        return pb.GetEntityResponse(
            view=view.view,
            at=timestamp(at_us),
            entities=entity_messages(view, asked, reader.judge(found, instants)),
            loaded=found.pointer is not None or not has_pointer,
        )

    async def list_event_types(
        self, request: pb.ListEventTypesRequest
    ) -> pb.ListEventTypesResponse:
        """Returns a page of event types."""
        catalog = self._source.current()
        page, token = page_of(list(catalog.events), request.page_size, request.page_token)
        return pb.ListEventTypesResponse(
            event_types=[event_message(catalog.events[name], catalog.views) for name in page],
            next_page_token=token,
            total=len(catalog.events),
        )

    async def close(self) -> None:
        """Closes the connections to the store."""
        await self._stored.close()

    async def _find(self, name: str, find: Callable[[Catalog, str], Found]) -> Found:
        """Returns what `find` does, having looked at the files again if the name is unknown.

        Raises:
            NotFound: it is unknown.
        """
        try:
            return find(self._source.current(), name)
        except NotFound:
            await self._source.refresh()
        return find(self._source.current(), name)


def _fits(entry: CatalogView, request: pb.ListViewsRequest) -> bool:
    view = entry.view
    pipelines = [consumer.pipeline.name for consumer in entry.consumers]
    return (
        request.kind in ("", view.kind)
        and request.entity in ("", view.entity)
        and (not request.owner or request.owner in _owners(view))
        and (not request.tag or request.tag in _tags(view))
        and (not request.pipeline or request.pipeline in pipelines)
    )


def _owners(view: FeatureView) -> set[str]:
    return {view.owner, *(feature.owner for feature in view.features)}


def _tags(view: FeatureView) -> set[str]:
    return {*view.tags, *(tag for feature in view.features for tag in feature.tags)}


def _check_count(view: FeatureView, entities: int) -> None:
    """Returns if so many entities may be asked for. Raises InvalidField, LimitExceeded."""
    if not entities:
        raise InvalidField("no entity, expected at least one", field="entities")
    vectors = sum((each.length or 0) * each.dtype.numpy.itemsize for each in view.features)
    most = min(MAX_ENTITIES, max(1, MAX_ANSWER_BYTES // vectors) if vectors else MAX_ENTITIES)
    if entities > most:
        raise LimitExceeded(f"{entities} entities, more than {most}", field="entities")
