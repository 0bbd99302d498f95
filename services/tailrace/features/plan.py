"""What lookups need of a pipeline, worked out once when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from tailrace.features.defaults import DefaultColumns, default_columns
from tailrace.features.entity_key import KeyEncoder
from tailrace.features.row_counts import RowCounts
from tailrace.features.row_source import RowSource, row_source
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.plan import Pipeline, ViewPlan


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """Where the features of one stored group go.

    Attributes:
        block: number of the block.
        columns: their places in it.
        features: their numbers in the stored row, for the validity mask.
    """

    block: int
    columns: slice
    features: slice


@dataclass(frozen=True, slots=True)
class FlagPlace:
    """Where a flag column goes: number of the block, place in it."""

    block: int
    column: int


@dataclass(frozen=True, slots=True)
class LookupView:
    """One view of a pipeline.

    Attributes:
        name: of the view.
        view: its file.
        key_columns: name and type of each key column, in the view's order.
        key_field: path of the request field or column that the first key comes from.
        encoder: writes its keys.
        source: reads and decodes its rows.
        places: where each stored group goes, in the order of the schema.
        missing_flag: where the flag `missing` goes, if the view has one.
        stale_flag: where the flag `stale` goes, if the view has one.
        max_age_us: features older than this are stale, microseconds; None for never.
        required: bool [features], in storage order: True where a null fails the row.
        counts: counts its rows by what was found.
    """

    name: str
    view: FeatureView
    key_columns: tuple[tuple[str, DType], ...]
    key_field: str
    encoder: KeyEncoder
    source: RowSource
    places: tuple[GroupPlace, ...]
    missing_flag: FlagPlace | None
    stale_flag: FlagPlace | None
    max_age_us: int | None
    required: NDArray[np.bool_]
    counts: RowCounts


@dataclass(frozen=True, slots=True)
class LookupPlan:
    """The features hop of one pipeline version.

    Attributes:
        views: the views, in the pipeline's order.
        defaults: the columns of the answer, one element per block.
    """

    views: tuple[LookupView, ...]
    defaults: tuple[DefaultColumns, ...]


def compile_lookup(pipeline: Pipeline) -> LookupPlan:
    """Returns what lookups need of a pipeline."""
    defaults = default_columns(pipeline.views)
    return LookupPlan(tuple(_lookup_view(plan, defaults) for plan in pipeline.views), defaults)


def _lookup_view(plan: ViewPlan, defaults: tuple[DefaultColumns, ...]) -> LookupView:
    view = plan.view
    source = row_source(view)
    schema = source.schema
    places = []
    for group in schema.groups:
        first = _place(f"{view.view}.{group.names[0]}", group.dtype, defaults)
        columns = slice(first.column, first.column + len(group.names))
        places.append(GroupPlace(first.block, columns, slice(group.start, group.stop)))
    flags = {
        flag: _place(f"{view.view}.{flag}", DType.BOOL, defaults) for flag in view.flag_names()
    }
    declared = {feature.name: feature.default for feature in view.features}
    stored_names = [name for group in schema.groups for name in group.names]
    required = [view.on_missing == "fail" and declared[name] is None for name in stored_names]
    first_key = plan.keys[0]
    return LookupView(
        name=view.view,
        view=view,
        key_columns=tuple((key.column, key.key.dtype) for key in plan.keys),
        key_field=f"fields.{first_key.name}" if first_key.origin == "request" else first_key.name,
        encoder=KeyEncoder([key.key for key in plan.keys]),
        source=source,
        places=tuple(places),
        missing_flag=flags.get("missing"),
        stale_flag=flags.get("stale"),
        max_age_us=None if view.max_age is None else view.max_age // timedelta(microseconds=1),
        required=np.array(required),
        counts=RowCounts(view.view),
    )


def _place(name: str, dtype: DType, defaults: tuple[DefaultColumns, ...]) -> FlagPlace:
    for block, columns in enumerate(defaults):
        if columns.dtype is dtype:
            return FlagPlace(block, columns.names.index(name))
    raise AssertionError(f"no block of type {dtype.value}")
