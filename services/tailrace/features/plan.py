"""What lookups need of a pipeline, worked out once when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from tailrace.features.defaults import DefaultColumns, default_columns
from tailrace.features.entity_key import KeyEncoder
from tailrace.features.row_counts import RowCounts, row_counts
from tailrace.features.row_schema import FeatureGroup
from tailrace.features.row_source import RowSource, row_source
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.plan import KeySource, Pipeline, ViewPlan

_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """Where the features of one stored group go.

    Attributes:
        block: number of the `DefaultColumns`.
        columns: their places in it.
        features: their numbers in the stored row, for the validity mask.
        length: elements of each, where they are vectors; None for single values.
        defaults: what stands in for them, [features, 1], or [features, 1, 1] for vectors.
    """

    block: int
    columns: slice
    features: slice
    length: int | None
    defaults: Array


@dataclass(frozen=True, slots=True)
class FlagPlace:
    """Where a flag column goes: number of the `DefaultColumns`, place in it."""

    block: int
    column: int


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """One key column of a lookup.

    Attributes:
        name: of the column, `<name of the view>.<key>`.
        dtype: its type.
        field: path of the request field or column that it is made of.
        is_list: whether it holds lists, with the column `<column>.length` beside it.
    """

    name: str
    dtype: DType
    field: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class LookupView:
    """One view of a pipeline.

    Attributes:
        name: of the view, as the pipeline calls it.
        view: its file.
        keys: the key columns, in the view's order.
        instant: the column that says what the features are wanted for; None for now.
        elements: most elements of the lists of keys; None where all keys are single values.
        offset: the elements of all views before, 1 each for those without lists.
        encoder: writes its keys.
        source: reads and decodes its rows.
        places: where each stored group goes, in the order of the schema.
        missing_flag: where the flag `missing` goes, if the view has one.
        stale_flag: where the flag `stale` goes, if the view has one.
        max_age_us: features older than this are stale, microseconds; None for never.
        ttl_us: features older than this are missing, microseconds; None for never.
        required: bool [features], in storage order: True where a null fails the row.
        declared: intp [features]: number in the stored row of each feature, as declared.
        counts: counts its rows by what was found.
    """

    name: str
    view: FeatureView
    keys: tuple[KeyColumn, ...]
    instant: str | None
    elements: int | None
    offset: int
    encoder: KeyEncoder
    source: RowSource
    places: tuple[GroupPlace, ...]
    missing_flag: FlagPlace | None
    stale_flag: FlagPlace | None
    max_age_us: int | None
    ttl_us: int | None
    required: NDArray[np.bool_]
    declared: NDArray[np.intp]
    counts: RowCounts

    @property
    def width(self) -> int:
        """Entities looked up for each row."""
        return self.elements or 1

    @property
    def key_columns(self) -> tuple[tuple[str, DType], ...]:
        """Name and type of each key column, in the view's order."""
        return tuple((key.name, key.dtype) for key in self.keys)


@dataclass(frozen=True, slots=True)
class LookupPlan:
    """The features hop of one pipeline version.

    Attributes:
        views: the views, in the pipeline's order.
        defaults: the columns of the answer, by type and shape.
        width: entities looked up for each row, in all views together.
        max_age_us: int64 [width], the `max_age_us` of the view of each of them; the greatest
            number for never.
        has_max_age: whether any of them has one.
    """

    views: tuple[LookupView, ...]
    defaults: tuple[DefaultColumns, ...]
    width: int
    max_age_us: NDArray[np.int64]
    has_max_age: bool


def compile_lookup(pipeline: Pipeline) -> LookupPlan:
    """Returns what lookups need of a pipeline."""
    defaults = default_columns(pipeline.views)
    views = []
    offset = 0
    for plan in pipeline.views:
        views.append(_lookup_view(pipeline.name, plan, offset, defaults))
        offset += plan.elements or 1
    never = np.iinfo(np.int64).max
    max_age_us = np.repeat(
        np.array([never if v.max_age_us is None else v.max_age_us for v in views], np.int64),
        [view.width for view in views],
    )
    has_max_age = any(view.max_age_us is not None for view in views)
    return LookupPlan(tuple(views), defaults, offset, max_age_us, has_max_age)


def _lookup_view(
    pipeline: str, plan: ViewPlan, offset: int, defaults: tuple[DefaultColumns, ...]
) -> LookupView:
    view = plan.view
    source = row_source(view)
    groups = source.schema.groups
    flags = {flag: _place(f"{plan.name}.{flag}", defaults) for flag in view.flag_names()}
    declared = {feature.name: feature.default for feature in view.features}
    stored_names = [name for group in groups for name in group.names]
    required = [view.on_missing == "fail" and declared[name] is None for name in stored_names]
    return LookupView(
        name=plan.name,
        view=view,
        keys=tuple(_key_column(key) for key in plan.keys),
        instant=plan.instant.column if plan.instant else None,
        elements=plan.elements,
        offset=offset,
        encoder=KeyEncoder([key.key for key in plan.keys]),
        source=source,
        places=tuple(_group_place(plan.name, group, defaults) for group in groups),
        missing_flag=flags.get("missing"),
        stale_flag=flags.get("stale"),
        max_age_us=None if view.max_age is None else view.max_age // _US,
        ttl_us=None if view.ttl is None else view.ttl // _US,
        required=np.array(required),
        declared=np.array([stored_names.index(name) for name in declared], np.intp),
        counts=row_counts(pipeline, view.view),
    )


def _key_column(key: KeySource) -> KeyColumn:
    field = f"fields.{key.name}" if key.origin == "request" else key.name
    return KeyColumn(key.column, key.key.dtype, field, key.elements is not None)


def _group_place(
    view: str, group: FeatureGroup, defaults: tuple[DefaultColumns, ...]
) -> GroupPlace:
    first = _place(f"{view}.{group.names[0]}", defaults)
    columns = slice(first.column, first.column + len(group.names))
    values = defaults[first.block].values[columns]
    return GroupPlace(
        block=first.block,
        columns=columns,
        features=slice(group.start, group.stop),
        length=group.length,
        defaults=values if group.length is None else values[:, :, np.newaxis],
    )


def _place(name: str, defaults: tuple[DefaultColumns, ...]) -> FlagPlace:
    for block, columns in enumerate(defaults):
        if name in columns.names:
            return FlagPlace(block, columns.names.index(name))
    raise AssertionError(f"no column {name!r}")
