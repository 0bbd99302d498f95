"""What is stored of single entities, judged as a lookup judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import DecodedRows
from tailrace.features.row_schema import RowSchema
from tailrace.features.row_source import RowSource, row_source
from tailrace.features.state import FeatureState
from tailrace.features.store import ViewRows
from tailrace.runtime.columns import Array
from tailrace.runtime.errors import FeaturesCorrupt
from tailrace.runtime.pipeline.feature_view import FeatureView


@dataclass(frozen=True, slots=True, eq=False)
class Entities:
    """Entities of one view.

    Attributes:
        states: uint8 [entities], a FeatureState; UNSPECIFIED where corrupt.
        as_of_us: int64 [entities], when the features were true; 0 where nothing is stored.
        age_us: int64 [entities], their age at the instant asked for; never negative.
        values: by feature, [entities] or [entities, length]; the default where not present.
        present: by feature, bool [entities], whether the store has a value that counts.
        corrupt: what is wrong with each entity that cannot be read, by place.
    """

    states: NDArray[np.uint8]
    as_of_us: NDArray[np.int64]
    age_us: NDArray[np.int64]
    values: dict[str, Array]
    present: dict[str, NDArray[np.bool_]]
    corrupt: dict[int, str]


class EntityReader:
    """Decodes and judges the rows of one view."""

    def __init__(self, view: FeatureView) -> None:
        """Works out how the view's rows are read."""
        self.view = view
        self.source: RowSource = row_source(view)
        self._max_age_us = _us(view.max_age)
        self._ttl_us = _us(view.ttl)

    def judge(self, found: ViewRows, at_us: NDArray[np.int64]) -> Entities:
        """Returns the entities.

        Args:
            found: what was read.
            at_us: int64 [entities], the instants that it was read for.

        Raises:
            FeaturesCorrupt: the rows were stored by another definition of the view.
        """
        self._check_schema(found)
        count = len(found.rows)
        places = np.array([n for n, row in enumerate(found.rows) if row is not None], np.intp)
        states = np.full(count, FeatureState.MISSING, np.uint8)
        as_of_us = np.zeros(count, np.int64)
        values = {
            feature.name: _filled(feature.default_value, (count, *feature.row_shape), feature.dtype)
            for feature in self.view.features
        }
        present = {name: np.zeros(count, np.bool_) for name in values}
        corrupt: dict[int, str] = {}
        if len(places):
            stored = [found.rows[place] for place in places]
            decoded = self.source.decode(stored, at_us[places])
            corrupt = {int(places[number]): text for number, text in decoded.corrupt.items()}
            as_of_us[places] = decoded.as_of_us
            found_states = self._states(decoded, at_us[places])
            states[places] = found_states
            counts = np.isin(
                found_states, (FeatureState.FRESH, FeatureState.STALE, FeatureState.NOT_KEPT)
            )
            self._take(decoded, places, counts, values, present)
        as_of_us[list(corrupt)] = 0
        return Entities(states, as_of_us, np.maximum(at_us - as_of_us, 0), values, present, corrupt)

    def _check_schema(self, found: ViewRows) -> None:
        expected = self.source.schema.schema_id
        if found.pointer is not None and found.pointer.schema_id != expected:
            raise FeaturesCorrupt(
                f"view {self.view.view!r} is stored under schema {found.pointer.schema_id:08x}, "
                f"expected {expected:08x}: load it anew, or reset it if it is windowed",
                field=f"features.{self.view.view}",
            )

    def _states(self, decoded: DecodedRows, at_us: NDArray[np.int64]) -> NDArray[np.uint8]:
        age_us = at_us - decoded.as_of_us
        states = np.full(len(at_us), FeatureState.FRESH, np.uint8)
        if self._max_age_us is not None:
            states[age_us > self._max_age_us] = FeatureState.STALE
        if self._ttl_us is not None:
            states[age_us > self._ttl_us] = FeatureState.MISSING
        if decoded.absent is not None:
            states[decoded.absent] = FeatureState.MISSING
        if decoded.not_kept is not None:
            states[decoded.not_kept.features.any(axis=0)] = FeatureState.NOT_KEPT
        states[list(decoded.corrupt)] = FeatureState.UNSPECIFIED
        return states

    def _take(
        self,
        decoded: DecodedRows,
        places: NDArray[np.intp],
        counts: NDArray[np.bool_],
        values: dict[str, Array],
        present: dict[str, NDArray[np.bool_]],
    ) -> None:
        """Puts what was decoded, and counts, in the place of defaults."""
        for name, column, number in _columns(self.source.schema, decoded):
            valid = counts if decoded.validity is None else counts & decoded.validity[number]
            values[name][places[valid]] = column[valid]
            present[name][places[valid]] = True


def _columns(schema: RowSchema, decoded: DecodedRows) -> list[tuple[str, Array, int]]:
    """Returns name, values and number in storage order of each feature."""
    return [
        (name, values[place], group.start + place)
        for group, values in zip(schema.groups, decoded.values, strict=True)
        for place, name in enumerate(group.names)
    ]


def _filled(value: Any, shape: Sequence[int], dtype: Any) -> Array:
    column: Array = np.empty(tuple(shape), dtype.numpy)
    column[...] = value
    return column


def _us(length: timedelta | None) -> int | None:
    return None if length is None else length // timedelta(microseconds=1)
