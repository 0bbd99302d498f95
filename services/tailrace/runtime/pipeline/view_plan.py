"""A feature view as one pipeline uses it: where its keys come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import EntityKey, FeatureView


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where one key of a view comes from.

    Attributes:
        key: the key, as the view declares it.
        origin: `request` for a request field, `ingest` for an ingest column.
        name: the field or column.
        column: name of the key's column in a lookup, `<the plan's name>.<key>`.
        elements: most elements, where the key is a list: the column then has the shape
            [rows, elements], filled up with anything, and `<column>.length` of type int64 says how
            many count; None for a single value.
        length: where the key is a list, the ingest column that says how many elements count.
    """

    key: EntityKey
    origin: Literal["request", "ingest"]
    name: str
    column: str
    elements: int | None = None
    length: str | None = None


@dataclass(frozen=True, slots=True)
class InstantSource:
    """Where the instant comes from that features are wanted for.

    Attributes:
        origin: `request` for a request field, `ingest` for an ingest column.
        name: the field or column, of type timestamp.
        column: name of its column in a lookup, `<the plan's name>.@at`. A null in it means the
            time of the lookup.
    """

    origin: Literal["request", "ingest"]
    name: str
    column: str


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """One feature column of a lookup.

    Attributes:
        name: `<the plan's name>.<feature>`.
        dtype: type of its elements.
        row_shape: shape of one row: empty for a single value, [elements] where keys are lists,
            followed by the length of a vector.
    """

    name: str
    dtype: DType
    row_shape: tuple[int, ...]


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

    @property
    def length(self) -> str | None:
        """The ingest column that says how many elements count; None where keys are no lists."""
        return next((key.length for key in self.keys if key.length is not None), None)

    def sources(self) -> tuple[KeySource | InstantSource, ...]:
        """Returns the sources of the keys, and of the instant if there is one."""
        return self.keys if self.instant is None else (*self.keys, self.instant)

    def columns(self) -> tuple[ViewColumn, ...]:
        """Returns the feature columns, `<name>.<feature>`, flags last."""
        of_list = () if self.elements is None else (self.elements,)
        return (
            *(
                ViewColumn(
                    f"{self.name}.{feature.name}", feature.dtype, of_list + feature.row_shape
                )
                for feature in self.view.features
            ),
            *(
                ViewColumn(f"{self.name}.{flag}", DType.BOOL, of_list)
                for flag in self.view.flag_names()
            ),
        )
