"""Puts the stored rows of one view into the columns of a lookup, under the view's policies.

Where keys are lists, each element is an entity of its own here: place `row * elements + element`
of the columns, taken as [names, rows x elements].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tailrace.features.asked_keys import AskedKeys
from tailrace.features.codec import DecodedRows, NotKept
from tailrace.features.plan import FlagPlace, GroupPlace, LookupView
from tailrace.features.row_errors import RowErrors
from tailrace.features.state import FeatureState
from tailrace.features.store import ViewRows
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Array

_States = NDArray[np.uint8]
_Ages = NDArray[np.int64]
_Instants = NDArray[np.int64]

# Plain numbers: to look a member up costs a microsecond on Python 3.11.
_FAILED = int(FeatureState.UNSPECIFIED)
_FRESH = int(FeatureState.FRESH)
_STALE = int(FeatureState.STALE)
_MISSING = int(FeatureState.MISSING)
_NOT_KEPT = int(FeatureState.NOT_KEPT)

# So that an age, counted from any `as_of` that 8 bytes can hold, is never beyond int64 and so
# below zero, which would make the oldest row look fresh.
_OLDEST_US = np.array([-(2**62)])


class ViewColumns:
    """The columns of one view, as they are being filled."""

    __slots__ = (
        "_asked", "_columns", "_complete", "_found", "_places", "_present", "_rows", "_sound",
        "_view",
    )  # fmt: skip

    def __init__(
        self, view: LookupView, columns: Sequence[Array], asked: AskedKeys, rows: Rows
    ) -> None:
        """Keeps the parts.

        Args:
            view: the view.
            columns: the columns to fill, [names, rows, ...], of all views, one element per
                `DefaultColumns`; bools are False.
            asked: the keys that were asked for.
            rows: gets the failures.
        """
        self._view = view
        self._columns = columns
        self._asked = asked
        self._rows = rows
        self._sound = self._found = 0
        self._complete = False
        self._places: slice | list[int] = slice(None)
        self._present: NDArray[np.bool_] | None = None

    def fill(
        self,
        found: ViewRows,
        has_pointer: bool,
        states: _States,
        as_of_us: _Instants,
        at_us: _Instants,
    ) -> bool:
        """Fills the view's columns, and marks the rows that fail.

        Args:
            found: what is stored, one per key.
            has_pointer: whether the view has a pointer, once it is loaded.
            states: uint8 [keys], all `FRESH`; becomes MISSING where there is nothing, and NOT_KEPT
                where the instant lies before what is kept.
            as_of_us: int64 [keys]; becomes the instant of what was found.
            at_us: int64 [keys], the instants that the features are wanted for.

        Returns:
            Whether every key was found, and counts.
        """
        view, pointer = self._view, found.pointer
        if pointer is None:
            if has_pointer:
                self._fill_unloaded(states)
                return False
        elif pointer.schema_id != view.source.schema.schema_id:
            self._fill_mismatched(pointer.schema_id, states)
            return False
        rows = found.rows
        stored = [data for data in rows if data is not None]
        numbers: Sequence[int] = range(len(rows))
        self._complete = len(stored) == len(rows)
        if not self._complete:
            numbers = self._places = [row for row, data in enumerate(rows) if data is not None]
            absent = [row for row, data in enumerate(rows) if data is None]
            states[absent] = _MISSING
            self._fill_defaults()
            view.counts.missing += len(self._asked.live) - len(stored)
            self._fail_missing(absent, self._errors().missing)
        self._found = len(stored)
        if stored:
            places = self._places
            decoded = view.source.decode(stored, at_us[places])
            decoded.as_of_us = np.maximum(decoded.as_of_us, _OLDEST_US)
            self._sound = len(stored) - len(decoded.corrupt)
            gone = self._gone(decoded, at_us[places])
            self._fill_values(decoded, numbers, gone)
            as_of_us[places] = decoded.as_of_us
            if gone is not None:
                self._take_out(decoded, gone, numbers, states)
            if decoded.not_kept is not None:
                self._mark_not_kept(decoded.not_kept, numbers, states)
            if decoded.corrupt:
                view.counts.corrupt += len(decoded.corrupt)
                for row, problem in decoded.corrupt.items():
                    self._errors().corrupt(numbers[row], problem)
                states[[numbers[row] for row in decoded.corrupt]] = _FAILED
        if not self._complete and view.missing_flag is not None:
            self._set_flag(view.missing_flag, states >= _MISSING)
        return self._complete

    def judge_ages(self, states: _States, age_us: _Ages) -> None:
        """Tells the stale rows from the fresh ones; call after `fill`, if any row is that old.

        Args:
            states: uint8 [keys]; FRESH becomes STALE where the view says so.
            age_us: int64 [keys], microseconds.
        """
        view = self._view
        if view.max_age_us is None:
            return
        too_old = (states == _FRESH) & (age_us > view.max_age_us)
        stale: list[int] = np.flatnonzero(too_old).tolist()
        if not stale:
            return
        states[stale] = _STALE
        self._sound -= len(stale)
        view.counts.stale += len(stale)
        if view.view.on_stale == "fail":
            for place in stale:
                self._errors().stale(place, int(age_us[place]))
        if view.stale_flag is not None:
            self._set_flag(view.stale_flag, states == _STALE)

    def count_fresh(self) -> None:
        """Counts what is fresh; call last."""
        self._view.counts.fresh += self._sound

    def presence(self) -> NDArray[np.bool_] | None:
        """Returns where the store has a value: bool [features, keys], features as declared.

        None if it has all of them.
        """
        if self._complete and self._present is None:
            return None
        view = self._view
        presence = np.zeros((len(view.declared), len(self._asked.keys)), np.bool_)
        if self._found:
            presence[:, self._places] = True if self._present is None else self._present
        return presence[view.declared]

    def _gone(self, decoded: DecodedRows, at_us: _Instants) -> list[int] | None:
        """Returns which of the decoded rows do not count, by their place; None for none."""
        view, absent = self._view, decoded.absent
        if view.ttl_us is not None:
            expired = at_us - decoded.as_of_us > view.ttl_us
            absent = expired if absent is None else absent | expired
        if absent is None or not absent.any():
            return None
        gone: list[int] = np.flatnonzero(absent).tolist()
        return [place for place in gone if place not in decoded.corrupt] or None

    def _take_out(
        self, decoded: DecodedRows, gone: list[int], numbers: Sequence[int], states: _States
    ) -> None:
        """Makes rows that were found but do not count as missing as those that were not."""
        self._complete = False
        self._sound -= len(gone)
        places = [numbers[place] for place in gone]
        states[places] = _MISSING
        for place in self._view.places:
            self._target(place)[:, places] = place.defaults
        absent = decoded.absent
        empty = [] if absent is None else [numbers[place] for place in gone if absent[place]]
        expired = sorted(set(places).difference(empty))
        self._view.counts.missing += len(empty)
        self._view.counts.expired += len(expired)
        self._fail_missing(empty, self._errors().missing)
        self._fail_missing(expired, self._errors().expired)

    def _mark_not_kept(self, lost: NotKept, numbers: Sequence[int], states: _States) -> None:
        """Marks rows of which any feature cannot be told; the others have their values."""
        self._complete = False
        rows: list[int] = np.flatnonzero(lost.features.any(axis=0)).tolist()
        self._sound -= len(rows)
        self._view.counts.not_kept += len(rows)
        states[[numbers[row] for row in rows]] = _NOT_KEPT
        if self._view.view.on_missing == "fail":
            for row in rows:
                self._errors().not_kept(numbers[row], int(lost.earliest_us[row]))

    def _fill_values(
        self, decoded: DecodedRows, numbers: Sequence[int], gone: Sequence[int] | None
    ) -> None:
        validity, view, columns = decoded.validity, self._view, self._columns
        for place, values in zip(view.places, decoded.values, strict=True):
            if validity is not None:
                present = validity[place.features]
                if not present.all():
                    if place.length is not None:
                        present = present[:, :, np.newaxis]
                    values = np.where(present, values, place.defaults)
            if view.elements is None:
                columns[place.block][place.columns][:, self._places] = values
            else:
                self._target(place)[:, self._places] = values
        if validity is None and gone is None:
            return
        if validity is None:
            self._present = np.ones((len(self._view.declared), len(numbers)), np.bool_)
        else:
            self._present = validity
            left_out = [*decoded.corrupt, *(gone or ())]
            self._judge_nulls(validity, decoded.not_kept, left_out, numbers)
        if gone is not None:
            self._present = self._present.copy()
            self._present[:, gone] = False

    def _judge_nulls(
        self,
        validity: NDArray[np.bool_],
        not_kept: NotKept | None,
        left_out: list[int],
        numbers: Sequence[int],
    ) -> None:
        view = self._view
        nulls = ~validity
        if not_kept is not None:
            nulls &= ~not_kept.features
        # A corrupt row decodes as nulls throughout, and fails for a better reason.
        nulls[:, left_out] = False
        count = int(nulls.sum())
        if not count:
            return
        view.counts.nulls += count
        if not view.required.any():
            return
        names = [name for group in view.source.schema.groups for name in group.names]
        for feature, row in np.argwhere(nulls & view.required[:, np.newaxis]).tolist():
            self._errors().null(numbers[row], names[feature])

    def _fail_missing(self, places: list[int], fail: Callable[[int], None]) -> None:
        """Fails what is missing of what was asked for, where the view says so."""
        if places and self._view.view.on_missing == "fail":
            for place in np.intersect1d(places, self._asked.live).tolist():
                fail(place)

    def _fill_unloaded(self, states: _States) -> None:
        view, live = self._view, self._asked.live
        self._fill_defaults()
        states.fill(_MISSING)
        if view.missing_flag is not None:
            self._set_flag(view.missing_flag, states == _MISSING)
        view.counts.not_loaded += len(live)
        if view.view.on_missing == "fail":
            for place in live.tolist():
                self._errors().not_loaded(place)

    def _fill_mismatched(self, schema_id: int, states: _States) -> None:
        states.fill(_FAILED)
        self._fill_defaults()
        self._view.counts.corrupt += len(self._asked.live)
        for place in self._asked.live.tolist():
            self._errors().mismatched(place, schema_id)

    def _errors(self) -> RowErrors:
        return RowErrors(self._view, self._rows)

    def _fill_defaults(self) -> None:
        for place in self._view.places:
            self._target(place)[:] = place.defaults

    def _set_flag(self, flag: FlagPlace, values: NDArray[np.bool_]) -> None:
        column = self._columns[flag.block][flag.column]
        column[:] = values.reshape(column.shape)

    def _target(self, place: GroupPlace) -> Array:
        """Returns the columns of a group, [names, keys], or [names, keys, length] for vectors."""
        columns = self._columns[place.block][place.columns]
        if self._view.elements is None:
            return columns
        vector = () if place.length is None else (place.length,)
        return columns.reshape(len(columns), -1, *vector)
