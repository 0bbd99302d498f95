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
        column: name of the key's column in a lookup, `<name of the view>.<key>`.
        elements: most elements, where the key is a list: the column then has the shape
            [rows, elements], filled up with anything, and `<column>.length` of type int64 says how
            many count; None for a single value.
    """

    key: EntityKey
    origin: Literal["request", "ingest"]
    name: str
    column: str
    elements: int | None = None


@dataclass(frozen=True, slots=True)
class InstantSource:
    """Where the instant comes from that features are wanted for.

    Attributes:
        origin: `request` for a request field, `ingest` for an ingest column.
        name: the field or column, of type timestamp.
        column: name of its column in a lookup, `<name of the view>.@at`.
    """

    origin: Literal["request", "ingest"]
    name: str
    column: str


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """One view as a pipeline uses it.

    Attributes:
        view: the view.
        keys: where its keys come from, in the view's order.
        name: what its columns begin with: the view's own name, or the one that the pipeline gives
            it, as where it reads one view for two entities.
        instant: what the features are wanted for; None for the time of the lookup.
        elements: most elements of the lists that some of the keys are; None where all are single
            values. Feature columns then have the shape [rows, elements, ...].
    """

    view: FeatureView
    keys: tuple[KeySource, ...]
    name: str = ""
    instant: InstantSource | None = None
    elements: int | None = None

    def __post_init__(self) -> None:
        """Fills in the name."""
        if not self.name:
            object.__setattr__(self, "name", self.view.view)
