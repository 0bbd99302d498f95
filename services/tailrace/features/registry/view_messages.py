"""Views, event types and their users as messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from tailrace.features.registry.catalog import CatalogView, Consumer
from tailrace.features.registry.search import Hit
from tailrace.runtime.pipeline.aggregate import Aggregate, Condition
from tailrace.runtime.pipeline.duration import duration_text
from tailrace.runtime.pipeline.event_type import EventField, EventType
from tailrace.runtime.pipeline.feature import EntityKey, Feature
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.view_plan import InstantSource, KeySource
from tailrace.runtime.pipeline.view_source import ViewSource
from tailrace.runtime.value_kinds import value_message
from tailrace.v1 import feature_registry_service_pb2 as pb
from tailrace.v1 import tensor_pb2

_US = timedelta(microseconds=1)


def view_summary(entry: CatalogView) -> pb.FeatureViewSummary:
    """Returns a view in short, without what is stored of it."""
    view = entry.view
    return pb.FeatureViewSummary(
        name=view.view,
        description=view.description,
        kind=view.kind,
        entity=view.entity,
        keys=[key.name for key in view.keys],
        features=len(view.features),
        owner=view.owner,
        tags=view.tags,
        pipelines=dict.fromkeys(consumer.pipeline.name for consumer in entry.consumers),
    )


def view_detail(entry: CatalogView) -> pb.FeatureViewDetail:
    """Returns everything that a view's file says."""
    view = entry.view
    return pb.FeatureViewDetail(
        name=view.view,
        description=view.description,
        kind=view.kind,
        entity=view.entity,
        keys=[_key(key) for key in view.keys],
        features=[_feature(view, feature) for feature in view.features],
        source=None if view.source is None else _source(view.source),
        max_age_us=microseconds(view.max_age),
        ttl_us=microseconds(view.ttl),
        on_missing=view.on_missing,
        on_stale=view.on_stale,
        owner=view.owner,
        tags=view.tags,
        file="" if entry.file is None else str(entry.file),
        file_problems=entry.problems,
    )


def consumer_message(consumer: Consumer) -> pb.ViewConsumer:
    """Returns who uses a view, and how."""
    plan = consumer.plan
    return pb.ViewConsumer(
        pipeline=consumer.pipeline.name,
        pipeline_version=consumer.pipeline.version,
        name=plan.name,
        keys={key.key.name: _origin(key) for key in plan.keys},
        at="" if plan.instant is None else _origin(plan.instant),
        elements=plan.elements or 0,
        model_reads=consumer.model_reads(),
        postprocess_reads=consumer.postprocess_reads(),
        unread=consumer.unread(),
        earlier_definition=consumer.earlier_definition,
    )


def event_message(event: EventType, views: Mapping[str, CatalogView]) -> pb.EventTypeDetail:
    """Returns everything that an event type's file says, and the views that are made of it."""
    return pb.EventTypeDetail(
        name=event.event,
        description=event.description,
        fields=[_event_field(name, each) for name, each in event.fields.items()],
        max_future_us=event.max_future // _US,
        owner=event.owner,
        tags=event.tags,
        views=[
            name
            for name, entry in views.items()
            if entry.view.kind == "windowed" and entry.view.events.event == event.event
        ],
    )


def hit_message(hit: Hit) -> pb.FeatureHit:
    """Returns what a search found."""
    view, feature = hit.view, hit.feature
    message = pb.FeatureHit(
        view=view.view,
        description=view.description,
        entity=view.entity,
        owner=view.owner,
        matched=hit.places,
        score=hit.score,
    )
    if feature is not None:
        message.feature = feature.name
        message.description = feature.description
        message.owner = feature.owner or view.owner
        message.type = feature.type
        message.unit = feature.unit
    return message


def microseconds(length: timedelta | None) -> int | None:
    """Returns a length of time in microseconds; None as it is."""
    return None if length is None else length // _US


def _key(key: EntityKey) -> pb.ViewKeyDetail:
    return pb.ViewKeyDetail(
        name=key.name, type=key.type, granularity_us=microseconds(key.granularity)
    )


def _feature(view: FeatureView, feature: Feature) -> pb.FeatureDetail:
    message = pb.FeatureDetail(
        name=feature.name,
        type=feature.type,
        length=feature.length or 0,
        values=feature.values,
        description=feature.description,
        unit=feature.unit,
        owner=feature.owner or view.owner,
        tags=feature.tags,
    )
    if feature.default is not None:
        message.default_value.CopyFrom(_default(feature.type, feature.default))
    if feature.aggregate is not None:
        message.aggregate.CopyFrom(_aggregate(feature.aggregate, view.tile_of(feature)))
    return message


def _default(type_name: str, value: bool | int | float | datetime | str) -> tensor_pb2.Value:
    # A file may say `default: 0` of a float.
    return value_message(float(value) if type_name.startswith("float") else value)  # type: ignore[arg-type]  # checked when it was loaded


def _aggregate(aggregate: Aggregate, tile: timedelta) -> pb.AggregateDetail:
    window = aggregate.window
    since_midnight = not isinstance(window, timedelta)
    return pb.AggregateDetail(
        function=aggregate.function,
        of=aggregate.of or "",
        window_us=window // _US if isinstance(window, timedelta) else None,
        midnight_timezone=aggregate.timezone if since_midnight else "",
        tile_us=tile // _US,
        where=[_condition(condition) for condition in aggregate.where],
    )


def _condition(condition: Condition) -> pb.ConditionDetail:
    ((test, operand),) = condition.tests().items()
    operands = operand if isinstance(operand, list) else [operand]
    return pb.ConditionDetail(
        field=condition.field, test=test, values=[value_message(each) for each in operands]
    )


def _source(source: ViewSource) -> pb.ViewSourceDetail:
    parts: dict[str, str] = {}
    for name in type(source).model_fields:
        value = getattr(source, name)
        if isinstance(value, timedelta):
            parts[name] = duration_text(value)
        elif isinstance(value, dict):
            parts |= {f"{name}.{key}": str(each) for key, each in value.items()}
        elif isinstance(value, list):
            parts |= {name: ", ".join(map(str, value))} if value else {}
        elif name != "type" and value is not None:
            parts[name] = str(value)
    return pb.ViewSourceDetail(type=source.type, parts=parts)


def _event_field(name: str, field: EventField) -> pb.EventFieldDetail:
    return pb.EventFieldDetail(
        name=name,
        type=field.type,
        required=field.required,
        description=field.description,
        unit=field.unit,
        max_length=field.max_length if field.type == "string" else 0,
    )


def _origin(source: KeySource | InstantSource) -> str:
    return f"{source.origin}.{source.name}"
