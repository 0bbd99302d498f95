"""Single entities as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tailrace.features.registry.entities import Entities
from tailrace.features.registry.statistics_messages import timestamp
from tailrace.features.state import FeatureState
from tailrace.runtime.pipeline.feature import Feature
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.timestamps import MAX_TIMESTAMP_US, MIN_TIMESTAMP_US
from tailrace.runtime.value_kinds import value_message
from tailrace.runtime.wire import array_to_tensor
from tailrace.v1 import error_pb2, feature_service_pb2, tensor_pb2
from tailrace.v1 import feature_registry_service_pb2 as pb


def entity_messages(
    view: FeatureView, asked: Sequence[Mapping[str, tensor_pb2.Value]], entities: Entities
) -> list[pb.EntityFeatures]:
    """Returns what was found of each entity.

    Args:
        view: the view.
        asked: the keys, by name, of each entity.
        entities: what was found of them.
    """
    return [_entity(view, keys, entities, place) for place, keys in enumerate(asked)]


def _entity(
    view: FeatureView, keys: Mapping[str, tensor_pb2.Value], entities: Entities, place: int
) -> pb.EntityFeatures:
    message = pb.EntityFeatures(keys=keys)
    problem = entities.corrupt.get(place)
    if problem is not None:
        message.reason = error_pb2.ERROR_REASON_FEATURES_CORRUPT
        message.problem = f"a stored row of view {view.view!r} cannot be read: {problem}"
        return message
    state = FeatureState(int(entities.states[place]))
    # The numbers are the same.
    message.state = cast(feature_service_pb2.FeatureState.ValueType, state.value)
    if state in (FeatureState.FRESH, FeatureState.STALE):
        message.age_us = int(entities.age_us[place])
        message.as_of.CopyFrom(timestamp(int(entities.as_of_us[place])))
    for feature in view.features:
        value = message.features.add(
            name=feature.name, present=bool(entities.present[feature.name][place])
        )
        found = _value(feature, entities.values[feature.name][place])
        if found is not None:
            value.value.CopyFrom(found)
    return message


def _value(feature: Feature, value: Any) -> tensor_pb2.Value | None:
    if feature.length is not None:
        return tensor_pb2.Value(tensor_value=array_to_tensor(value, feature.dtype))
    plain: Any = value if isinstance(value, str) else value.item()
    if feature.values is not None:
        known = 0 <= plain < len(feature.values)
        return value_message(feature.values[plain]) if known else None
    if feature.type == "timestamp" and MIN_TIMESTAMP_US <= plain <= MAX_TIMESTAMP_US:
        return tensor_pb2.Value(timestamp_value=timestamp(plain))
    return value_message(plain)
