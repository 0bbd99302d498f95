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
_Instants = NDArray[np.int64]

# Plain numbers: to look a member up costs a microsecond on Python 3.11.
_FAILED = int(FeatureState.UNSPECIFIED)
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
            blocks: the columns to fill, [names, rows], of all views; bools are False.
            rows: gets the failures.
            live: the rows that had not failed when the lookup began.
        """
        self._view = view
        self._defaults = defaults
        self._blocks = blocks
        self._rows = rows
        self._live = live
        self._sound = 0

    def fill(self, found: ViewRows, states: _States, as_of_us: _Instants, at_us: _Instants) -> bool:
        """Fills the view's columns, and marks the rows that fail.

        Args:
            found: the stored rows, one per row of the batch.
            states: uint8 [rows], all `FRESH`; becomes MISSING where a row was not found.
            as_of_us: int64 [rows]; becomes the instant of each row that was found.
            at_us: int64 [rows], the instants that the features are wanted for.

        Returns:
            Whether every row was found.
        """
        view, pointer = self._view, found.pointer
        if pointer is None:
            self._fill_unloaded(states)
            return False
        if pointer.schema_id != view.source.schema.schema_id:
            self._fill_mismatched(pointer.schema_id, states)
            return False
        stored = [data for data in found.rows if data is not None]
        everywhere = len(stored) == len(found.rows)
        places: slice | list[int] = slice(None)
        numbers: Sequence[int] = range(len(stored))
        if not everywhere:
            numbers = places = [row for row, data in enumerate(found.rows) if data is not None]
            states[[row for row, data in enumerate(found.rows) if data is None]] = _MISSING
            self._fill_missing(found.rows, len(stored))
            self._fill_missing_flag(states)
        if stored:
            decoded = view.source.decode(stored, at_us[places])
            self._fill_values(decoded, places, numbers)
            as_of_us[places] = decoded.as_of_us
            self._sound = len(stored) - len(decoded.corrupt)
            if decoded.corrupt:
                self._fail_corrupt(decoded, numbers)
                states[[numbers[row] for row in decoded.corrupt]] = _FAILED
        return everywhere

    def judge_ages(self, states: _States, age_us: _Ages) -> None:
        """Tells the stale rows from the fresh ones; call after `fill`.

        Args:
            states: uint8 [rows]; FRESH becomes STALE where the view says so.
            age_us: int64 [rows], microseconds.
        """
        view = self._view
        stale_rows: list[int] = []
        if view.max_age_us is not None:
            too_old = (states == _FRESH) & (age_us > view.max_age_us)
            stale_rows = np.flatnonzero(too_old).tolist()
        if stale_rows:
            states[stale_rows] = _STALE
            view.counts.stale.inc(len(stale_rows))
            if view.view.on_stale == "fail":
                for row in stale_rows:
                    self._rows.fail(row, self._stale(int(age_us[row])))
        fresh = self._sound - len(stale_rows)
        if fresh:
            view.counts.fresh.inc(fresh)
        if stale_rows and view.stale_flag is not None:
            flag = view.stale_flag
            self._blocks[flag.block].values[flag.column] = states == _STALE

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
        names = [name for group in view.source.schema.groups for name in group.names]
        for feature, row in np.argwhere(nulls & view.required[:, np.newaxis]).tolist():
            error = NotFound(
                f"view {view.name!r} has no value of {names[feature]!r} for this entity",
                field=f"{view.name}.{names[feature]}",
                reason=Reason.ENTITY_NOT_FOUND,
            )
            self._rows.fail(numbers[row], error)

    def _fill_missing(self, stored: Sequence[bytes | None], found: int) -> None:
        view = self._view
        self._fill_defaults()
        view.counts.missing.inc(len(self._live) - found)
        if view.view.on_missing != "fail":
            return
        for row in self._live.tolist():
            if stored[row] is None:
                error = NotFound(
                    f"view {view.name!r} has no entity of this key",
                    field=view.key_field,
                    reason=Reason.ENTITY_NOT_FOUND,
                )
                self._rows.fail(row, error)

    def _fail_corrupt(self, decoded: DecodedRows, numbers: Sequence[int]) -> None:
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

    def _fill_unloaded(self, states: _States) -> None:
        view = self._view
        self._fill_defaults()
        states.fill(_MISSING)
        self._fill_missing_flag(states)
        view.counts.not_loaded.inc(len(self._live))
        if view.view.on_missing != "fail":
            return
        for row in self._live.tolist():
            error = FailedPrecondition(
                f"view {view.name!r} has not been loaded",
                field=f"features.{view.name}",
                reason=Reason.VIEW_NOT_LOADED,
            )
            self._rows.fail(row, error)

    def _fill_mismatched(self, schema_id: int, states: _States) -> None:
        view = self._view
        states.fill(_FAILED)
        self._fill_defaults()
        view.counts.corrupt.inc(len(self._live))
        for row in self._live.tolist():
            error = FeaturesCorrupt(
                f"view {view.name!r} is stored under schema {schema_id:08x}, expected "
                f"{view.source.schema.schema_id:08x}: load it anew",
                field=f"features.{view.name}",
            )
            self._rows.fail(row, error)

    def _fill_defaults(self) -> None:
        for place in self._view.places:
            defaults = self._defaults[place.block].values[place.columns]
            self._blocks[place.block].values[place.columns] = defaults

    def _fill_missing_flag(self, states: _States) -> None:
        flag = self._view.missing_flag
        if flag is not None:
            self._blocks[flag.block].values[flag.column] = states == _MISSING
