"""What is stored of views as messages: rows, freshness and statistics."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.features.feature_statistics import FeatureStatistics, RowStatistics, ViewStatistics
from tailrace.features.pointer import Pointer
from tailrace.features.registry.view_messages import microseconds
from tailrace.features.registry.window_sample import WindowSample
from tailrace.features.row_source import row_source
from tailrace.features.state import FeatureState
from tailrace.runtime.errors import FeaturesCorrupt
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.v1 import feature_registry_service_pb2 as pb

_UINT32 = 2**32 - 1


def stored_view(view: FeatureView, data: bytes | None, now_us: int) -> pb.StoredView:
    """Returns what the pointer of a view says.

    Args:
        view: the view.
        data: its pointer as it is stored; None if there is none.
        now_us: what ages are counted to, microseconds since 1970.
    """
    message = pb.StoredView(loaded=data is not None)
    if data is None:
        return message
    try:
        pointer = Pointer.from_json(view.view, data)
    except FeaturesCorrupt as error:
        message.problem = error.message
        return message
    message.generation = pointer.generation
    message.loaded_at.CopyFrom(timestamp(pointer.loaded_at_us))
    message.source = pointer.source
    message.timestamp_column = pointer.timestamp_column or ""
    message.increments = min(pointer.increments, _UINT32)
    message.schema_changed = pointer.schema_id != row_source(view).schema.schema_id
    if pointer.watermark_us is not None:
        message.watermark.CopyFrom(timestamp(pointer.watermark_us))
    if view.kind == "static":
        message.rows = pointer.rows
        newest_us = pointer.loaded_at_us if pointer.watermark_us is None else pointer.watermark_us
        set_age(message, view, now_us - newest_us)
    return message


def set_age(message: pb.StoredView, view: FeatureView, age_us: int) -> None:
    """Writes how old the newest data is, and whether that is too old."""
    message.age_us = max(0, age_us)
    max_age_us = microseconds(view.max_age)
    message.stale = max_age_us is not None and age_us > max_age_us


def add_loaded(
    answer: pb.GetViewStatisticsResponse, data: bytes | None, types: Mapping[str, str]
) -> None:
    """Writes what the loads of a static view gathered, and what is not known of it.

    Args:
        answer: gets it; has `stored` already.
        data: the statistics as they are stored; None if there are none.
        types: those of the features by name, as far as they are known.
    """
    if data is None:
        answer.notes.append("the load of these rows gathered no statistics")
        return
    try:
        found = ViewStatistics.from_json(data)
    except ValueError:
        answer.notes.append("the statistics that are stored cannot be read: load the view anew")
        return
    if found.generation != answer.stored.generation:
        answer.notes.append("the statistics that are stored are of another generation")
        return
    if found.full is not None:
        answer.full_load.CopyFrom(row_statistics(found.full, types))
    if found.increment is not None:
        answer.last_increment.CopyFrom(row_statistics(found.increment, types))
        if answer.stored.increments > 1:
            answer.notes.append("the rows of earlier incremental loads are in neither statistics")


def row_statistics(rows: RowStatistics, types: Mapping[str, str]) -> pb.RowStatisticsDetail:
    """Returns what a load gathered; `types` has those of the features, as far as they are known."""
    return pb.RowStatisticsDetail(
        rows=rows.rows,
        loaded_at=timestamp(rows.loaded_at_us),
        source=rows.source,
        features=[feature_statistics(each, types.get(each.name, "")) for each in rows.features],
    )


def sample_statistics(sample: WindowSample, types: Mapping[str, str]) -> pb.SampleStatistics:
    """Returns what was found of a sample of a windowed view; `types` has those of its features."""
    return pb.SampleStatistics(
        entities=sample.entities,
        complete=sample.complete,
        at=timestamp(sample.at_us),
        fresh=sample.states[FeatureState.FRESH],
        stale=sample.states[FeatureState.STALE],
        missing=sample.states[FeatureState.MISSING],
        corrupt=sample.states[FeatureState.UNSPECIFIED],
        not_kept=sample.states[FeatureState.NOT_KEPT],
        newest_event=None if sample.newest_us is None else timestamp(sample.newest_us),
        features=[feature_statistics(each, types[each.name]) for each in sample.features],
    )


def feature_types(view: FeatureView) -> dict[str, str]:
    """Returns the type of each feature by its name, as the view file says it."""
    return {feature.name: feature.type for feature in view.features}


def feature_statistics(found: FeatureStatistics, type_name: str) -> pb.FeatureStatisticsDetail:
    """Returns the statistics of one feature of a type; it is empty if that is not known."""
    return pb.FeatureStatisticsDetail(
        name=found.name,
        type=type_name,
        rows=found.rows,
        nulls=found.nulls,
        null_rate=found.null_rate,
        nans=found.nans,
        min=found.min,
        max=found.max,
        mean=found.mean,
        quantiles=[
            pb.Quantile(share=float(share), value=value) for share, value in found.quantiles.items()
        ],
        sampled=found.sampled,
        distinct=found.distinct,
        distinct_is_estimate=found.distinct_is_estimate,
        frequent=[pb.FrequentValue(value=text, count=count) for text, count in found.frequent],
    )


def timestamp(instant_us: int) -> Timestamp:
    """Returns microseconds since 1970 as a message."""
    message = Timestamp()
    message.FromMicroseconds(instant_us)
    return message
