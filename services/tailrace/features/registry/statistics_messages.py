"""What is stored of views as messages: rows, freshness and statistics."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.features.feature_statistics import FeatureStatistics, RowStatistics
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


def row_statistics(rows: RowStatistics) -> pb.RowStatisticsDetail:
    """Returns what a load gathered."""
    return pb.RowStatisticsDetail(
        rows=rows.rows,
        loaded_at=timestamp(rows.loaded_at_us),
        source=rows.source,
        features=[feature_statistics(each) for each in rows.features],
    )


def sample_statistics(sample: WindowSample) -> pb.SampleStatistics:
    """Returns what was found of a sample of a windowed view."""
    return pb.SampleStatistics(
        entities=sample.entities,
        complete=sample.complete,
        at=timestamp(sample.at_us),
        fresh=sample.states[FeatureState.FRESH],
        stale=sample.states[FeatureState.STALE],
        missing=sample.states[FeatureState.MISSING],
        corrupt=sample.states[FeatureState.UNSPECIFIED],
        newest_event=None if sample.newest_us is None else timestamp(sample.newest_us),
        features=[feature_statistics(each) for each in sample.features],
    )


def feature_statistics(found: FeatureStatistics) -> pb.FeatureStatisticsDetail:
    """Returns the statistics of one feature."""
    return pb.FeatureStatisticsDetail(
        name=found.name,
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
