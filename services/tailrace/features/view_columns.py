"""Puts the stored rows of one view into the columns of a lookup, under the view's policies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import DecodedRows
from tailrace.features.defaults import DefaultColumns
from tailrace.features.plan import LookupView
from tailrace.features.state import FeatureState
from tailrace.features.store import ViewRows
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Block
from tailrace.runtime.errors import FailedPrecondition, FeaturesCorrupt, NotFound, Reason

_States = NDArray[np.uint8]
_Ages = NDArray[np.int64]

# Plain numbers: to look a member up costs a microsecond on Python 3.11.
_FRESH = int(FeatureState.FRESH)
_STALE = int(FeatureState.STALE)
_MISSING = int(FeatureState.MISSING)


class ViewColumns:
    """The columns of one view, as they are being filled."""

    def __init__(
        self,
        view: LookupView,
        defaults: Sequence[DefaultColumns],
        blocks: Sequence[Block],
        rows: Rows,
        live: NDArray[np.intp],
    ) -> None:
        """Keeps the parts.

        Args:
            view: the view.
            defaults: what stands in for missing features, one element per block.
            blocks: the columns to fill, [names, rows], of all views.
            rows: gets the failures.
            live: the rows that had not failed when the lookup began.
        """
        self._view = view
        self._defaults = defaults
        self._blocks = blocks
        self._rows = rows
        self._live = live

    def fill(self, found: ViewRows, now_us: int) -> tuple[_States, _Ages]:
        """Fills the view's columns and marks the rows that fail.

        Args:
            found: the stored rows, one per row of the batch.
            now_us: what ages are counted to, microseconds since 1970.

        Returns:
            states: uint8 [rows]; age_us: int64 [rows], -1 where missing.
        """
        view, pointer = self._view, found.pointer
        if pointer is None:
            return self._fill_unloaded()
        if pointer.schema_id != view.codec.schema.schema_id:
            return self._fill_mismatched(pointer.schema_id)
        stored = [data for data in found.rows if data is not None]
        missing = len(self._live) - len(stored)
        if missing:
            view.counts.missing.inc(missing)
            if view.view.on_missing == "fail":
                self._fail_missing(found.rows)
        places: slice | list[int] = slice(None)
        numbers: Sequence[int] = range(len(stored))
        if len(stored) < len(found.rows):
            numbers = places = [row for row, data in enumerate(found.rows) if data is not None]
            self._fill_defaults()
        states = np.empty(len(found.rows), np.uint8)
        states.fill(_MISSING)
        age_us = np.empty(len(found.rows), np.int64)
        age_us.fill(-1)
        if stored:
            decoded = view.codec.decode(stored)
            self._fill_values(decoded, places, numbers)
            self._fail_corrupt(decoded, numbers)
            age_us[places] = np.maximum(now_us - decoded.as_of_us, 0)
            states[places] = _FRESH
            self._judge_ages(states, age_us, len(stored), decoded.corrupt, numbers)
        self._fill_missing_flag(states)
        return states, age_us

    def _fill_values(
        self, decoded: DecodedRows, places: slice | list[int], numbers: Sequence[int]
    ) -> None:
        nulls = None if decoded.validity is None else ~decoded.validity
        for place, values in zip(self._view.places, decoded.values, strict=True):
            target = self._blocks[place.block].values[place.columns]
            if nulls is not None:
                group_nulls = nulls[place.features]
                if group_nulls.any():
                    defaults = self._defaults[place.block].values[place.columns]
                    values = np.where(group_nulls, defaults, values)
            target[:, places] = values
        if nulls is not None:
            self._judge_nulls(nulls, decoded.corrupt, numbers)

    def _judge_nulls(
        self, nulls: NDArray[np.bool_], corrupt: dict[int, str], numbers: Sequence[int]
    ) -> None:
        view = self._view
        # A corrupt row decodes as nulls throughout, and fails for a better reason.
        nulls[:, list(corrupt)] = False
        count = int(nulls.sum())
        if not count:
            return
        view.counts.nulls.inc(count)
        if not view.required.any():
            return
        names = [name for group in view.codec.schema.groups for name in group.names]
        for feature, row in np.argwhere(nulls & view.required[:, np.newaxis]).tolist():
            error = NotFound(
                f"view {view.name!r} has no value of {names[feature]!r} for this entity",
                field=f"{view.name}.{names[feature]}",
                reason=Reason.ENTITY_NOT_FOUND,
            )
            self._rows.fail(numbers[row], error)

    def _judge_ages(
        self,
        states: _States,
        age_us: _Ages,
        stored: int,
        corrupt: dict[int, str],
        numbers: Sequence[int],
    ) -> None:
        view = self._view
        stale_rows: list[int] = []
        if view.max_age_us is not None:
            corrupt_rows = {numbers[row] for row in corrupt}
            too_old = np.flatnonzero(age_us > view.max_age_us).tolist()
            stale_rows = [row for row in too_old if row not in corrupt_rows]
        if stale_rows:
            states[stale_rows] = _STALE
            view.counts.stale.inc(len(stale_rows))
            if view.view.on_stale == "fail":
                for row in stale_rows:
                    self._rows.fail(row, self._stale(int(age_us[row])))
        view.counts.fresh.inc(stored - len(corrupt) - len(stale_rows))
        if view.stale_flag is not None:
            flag = view.stale_flag
            self._blocks[flag.block].values[flag.column] = states == _STALE

    def _fail_missing(self, stored: Sequence[bytes | None]) -> None:
        for row in self._live.tolist():
            if stored[row] is None:
                self._rows.fail(
                    row,
                    NotFound(
                        f"view {self._view.name!r} has no entity of this key",
                        field=self._view.key_field,
                        reason=Reason.ENTITY_NOT_FOUND,
                    ),
                )

    def _fail_corrupt(self, decoded: DecodedRows, numbers: Sequence[int]) -> None:
        if not decoded.corrupt:
            return
        self._view.counts.corrupt.inc(len(decoded.corrupt))
        for row, problem in decoded.corrupt.items():
            self._rows.fail(
                numbers[row],
                FeaturesCorrupt(
                    f"a stored row of view {self._view.name!r} cannot be read: {problem}",
                    field=f"features.{self._view.name}",
                ),
            )

    def _stale(self, age_us: int) -> FailedPrecondition:
        view = self._view
        return FailedPrecondition(
            f"the features of view {view.name!r} are {age_us / 1e6:.3f} s old, older than "
            f"{(view.max_age_us or 0) / 1e6:g} s",
            field=f"features.{view.name}",
            reason=Reason.FEATURES_STALE,
        )

    def _fill_unloaded(self) -> tuple[_States, _Ages]:
        view = self._view
        self._fill_defaults()
        view.counts.not_loaded.inc(len(self._live))
        if view.view.on_missing == "fail":
            for row in self._live.tolist():
                error = FailedPrecondition(
                    f"view {view.name!r} has not been loaded",
                    field=f"features.{view.name}",
                    reason=Reason.VIEW_NOT_LOADED,
                )
                self._rows.fail(row, error)
        states = np.full(len(self._rows), _MISSING, np.uint8)
        self._fill_missing_flag(states)
        return states, np.full(len(self._rows), -1, np.int64)

    def _fill_mismatched(self, schema_id: int) -> tuple[_States, _Ages]:
        view = self._view
        self._fill_defaults()
        view.counts.corrupt.inc(len(self._live))
        for row in self._live.tolist():
            error = FeaturesCorrupt(
                f"view {view.name!r} is stored under schema {schema_id:08x}, expected "
                f"{view.codec.schema.schema_id:08x}: load it anew",
                field=f"features.{view.name}",
            )
            self._rows.fail(row, error)
        return np.zeros(len(self._rows), np.uint8), np.full(len(self._rows), -1, np.int64)

    def _fill_defaults(self) -> None:
        for place in self._view.places:
            defaults = self._defaults[place.block].values[place.columns]
            self._blocks[place.block].values[place.columns] = defaults
        flag = self._view.stale_flag
        if flag is not None:
            self._blocks[flag.block].values[flag.column] = False

    def _fill_missing_flag(self, states: _States) -> None:
        flag = self._view.missing_flag
        if flag is not None:
            missing = states == _MISSING
            self._blocks[flag.block].values[flag.column] = missing
