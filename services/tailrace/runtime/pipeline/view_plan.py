"""A feature view as one pipeline uses it: where its keys come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.runtime.pipeline.feature_view import EntityKey, FeatureView


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where one key of a view comes from.

    Attributes:
        key: the key, as the view declares it.
        origin: `request` for a request field, `ingest` for an ingest column.
        name: the field or column.
        column: name of the key's column in a lookup, `<view>.<key>`.
    """

    key: EntityKey
    origin: Literal["request", "ingest"]
    name: str
    column: str


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """One view as a pipeline uses it."""

    view: FeatureView
    keys: tuple[KeySource, ...]
