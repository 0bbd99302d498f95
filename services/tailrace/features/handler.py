"""The work of the features hop: keys in, typed feature columns out, each row on its own.

A row is missing where there is no such entity, or where its key is null; a view that was
never loaded has none. What then happens is the view's to say: `on_missing: fail` fails the
row, NOT_FOUND or, where the view was never loaded, FAILED_PRECONDITION. Otherwise defaults
stand in, and the state says MISSING. A null in a stored row is a missing feature: its default
stands in, is counted, and leaves the state as it is; under `on_missing: fail`, a feature for
which the view declares no default fails the row. Corrupt rows fail whatever the view says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.plan import LookupPlan, LookupView
from tailrace.features.state import FeatureState
from tailrace.features.store import FeatureStore, ViewRead, ViewRows
from tailrace.features.view_columns import ViewColumns
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Array, Block, Columns
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import InvalidBatch, LimitExceeded

# Plain numbers: to look a member up costs a microsecond on Python 3.11.
_FRESH = int(FeatureState.FRESH)
_STALE = int(FeatureState.STALE)


@dataclass(frozen=True, slots=True)
class ViewOutcome:
    """What was found of one view.

    Attributes:
        view: name of the view.
        states: uint8 [rows], a `FeatureState`; 0 for rows that failed.
        age_us: int64 [rows], since the features were true, microseconds; -1 where missing.
    """

    view: str
    states: NDArray[np.uint8]
    age_us: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What a lookup found.

    Attributes:
        columns: `<view>.<feature>` of every view, flags included.
        views: one element per view, in the pipeline's order.
    """

    columns: Columns
    views: list[ViewOutcome]


def wall_clock_us() -> int:
    """Returns the microseconds since 1970."""
    return time.time_ns() // NS_PER_US


class FeatureHandler:
    """Looks up the features of batches."""

    def __init__(
        self,
        store: FeatureStore,
        *,
        max_keys: int,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        """Keeps the parts.

        Args:
            store: holds the rows.
            max_keys: most keys of one lookup: rows times views.
            now_us: what ages are counted to, microseconds since 1970.
        """
        self._store = store
        self._max_keys = max_keys
        self._now_us = now_us

    async def handle(self, batch: Batch, plan: LookupPlan) -> LookupResult:
        """Returns the features of every live row, and marks the rows that fail.

        Args:
            batch: holds the key columns, `<view>.<key>`; null keys are missing entities.
            plan: of the batch's pipeline version.

        Raises:
            InvalidBatch: a key column is not there or is of another type.
            LimitExceeded: more keys than one lookup may have.
            Unavailable: the store cannot be reached or cannot serve.
            FeaturesCorrupt: what the store says about a view cannot be read.
        """
        rows = batch.rows
        live = rows.live()
        if not plan.views:
            return LookupResult(Columns(len(rows)), [])
        if len(live) * len(plan.views) > self._max_keys:
            raise LimitExceeded(
                f"{len(live)} rows of {len(plan.views)} views are more than {self._max_keys} keys",
                field="batch.rows.count",
            )
        places = {
            name: (block, place)
            for block in batch.columns.blocks
            for place, name in enumerate(block.names)
        }
        at_us = np.full(len(rows), self._now_us(), np.int64)
        wanted: list[ViewRead] = [
            view.source.read(_keys(view, places, live, len(rows)), at_us) for view in plan.views
        ]
        stored = await self._store.read(wanted)
        return self._result(plan, rows, live, stored, at_us)

    def _result(
        self,
        plan: LookupPlan,
        rows: Rows,
        live: NDArray[np.intp],
        stored: Sequence[ViewRows],
        at_us: NDArray[np.int64],
    ) -> LookupResult:
        shape = (len(plan.views), len(rows))
        # For all views at once: with few rows, each call into numpy costs as much as its work.
        states = np.full(shape, _FRESH, np.uint8)
        as_of_us = np.zeros(shape, np.int64)
        blocks = [columns.empty_block(len(rows)) for columns in plan.defaults]
        filled = [ViewColumns(view, plan.defaults, blocks, rows, live) for view in plan.views]
        complete = True
        for place, (columns, found) in enumerate(zip(filled, stored, strict=True)):
            complete &= columns.fill(found, states[place], as_of_us[place], at_us)
        age_us: NDArray[np.int64] = np.maximum(at_us - as_of_us, 0)
        for place, columns in enumerate(filled):
            columns.judge_ages(states[place], age_us[place])
        if rows.failures:
            states[:, list(rows.failures)] = FeatureState.UNSPECIFIED
        if rows.failures or not complete:
            age_us[(states != _FRESH) & (states != _STALE)] = -1
        outcomes = [
            ViewOutcome(view.name, states[place], age_us[place])
            for place, view in enumerate(plan.views)
        ]
        return LookupResult(Columns(len(rows), blocks), outcomes)


def _keys(
    view: LookupView,
    places: Mapping[str, tuple[Block, int]],
    live: NDArray[np.intp],
    rows: int,
) -> Sequence[str | None]:
    """Returns the key of every row; None where the row has failed or its key is null."""
    parts: list[Array] = []
    present: NDArray[np.bool_] | None = None
    for name, dtype in view.key_columns:
        block, place = places.get(name, (None, 0))
        if block is None or block.dtype is not dtype or block.values.ndim != 2:
            raise InvalidBatch(
                f"no key column {name!r} of type {dtype.value}", field="batch.blocks"
            )
        parts.append(block.values[place])
        if block.validity is not None:
            validity = block.validity[place]
            present = validity if present is None else present & validity
    if present is not None:
        live = live[present[live]]
    if len(live) == rows:
        return view.encoder.encode(parts)
    keys: list[str | None] = [None] * rows
    texts = view.encoder.encode([part[live] for part in parts])
    for row, text in zip(live.tolist(), texts, strict=True):
        keys[row] = text
    return keys
