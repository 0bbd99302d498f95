"""The work of the features hop: keys in, typed feature columns out, each row on its own.

A row is missing where there is no such entity, where its key is null, or where its features are
older than the view's `ttl`; a view that was never loaded has none. What then happens is the
view's to say: `on_missing: fail` fails the row, NOT_FOUND or, where the view was never loaded,
FAILED_PRECONDITION. Otherwise defaults stand in, and the state says MISSING. A null in a stored
row is a missing feature: its default stands in, is counted, and leaves the state as it is; under
`on_missing: fail`, a feature for which the view declares no default fails the row. Corrupt rows
fail whatever the view says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.asked_keys import AskedKeys, asked_keys, instants
from tailrace.features.list_outcome import list_outcome
from tailrace.features.plan import LookupPlan
from tailrace.features.state import FeatureState
from tailrace.features.store import FeatureStore, ViewRead, ViewRows
from tailrace.features.view_columns import ViewColumns
from tailrace.features.view_outcome import ViewOutcome
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Block, Columns
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import LimitExceeded

# Plain numbers: to look a member up costs a microsecond on Python 3.11.
_FRESH = int(FeatureState.FRESH)
_STALE = int(FeatureState.STALE)
# As an array: numpy takes three times as long with a plain number.
_ZERO = np.zeros(1, np.int64)


@dataclass(slots=True, eq=False)
class LookupResult:
    """What a lookup found.

    Attributes:
        columns: `<name of the view>.<feature>` of every view, flags included.
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
            max_keys: most keys of one lookup: rows times views, each element of a list counted.
            now_us: what features are wanted for where the batch does not say, microseconds since
                1970.
        """
        self._store = store
        self._max_keys = max_keys
        self._now_us = now_us

    async def handle(self, batch: Batch, plan: LookupPlan) -> LookupResult:
        """Returns the features of every live row, and marks the rows that fail.

        Args:
            batch: holds the key columns, `<name of the view>.<key>`; null keys are missing
                entities.
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
        places = {
            name: (block, place)
            for block in batch.columns.blocks
            for place, name in enumerate(block.names)
        }
        count, now_us = len(rows), self._now_us()
        # For all views at once: with few rows, each call into numpy costs as much as its work.
        at_us = np.empty(plan.width * count, np.int64)
        at_us.fill(now_us)
        asked: list[AskedKeys] = []
        wanted: list[ViewRead] = []
        keys = 0
        for view in plan.views:
            start = view.offset * count
            view_at_us = at_us[start : start + view.width * count]
            if view.instant is not None:
                view_at_us[:] = np.repeat(instants(view.instant, places, now_us, rows), view.width)
            asked.append(asked_keys(view, places, live, rows))
            keys += len(asked[-1].live)
            wanted.append(view.source.read(asked[-1].keys, view_at_us))
        if keys > self._max_keys:
            raise LimitExceeded(
                f"{len(live)} rows ask {len(plan.views)} views for {keys} keys, more than "
                f"{self._max_keys} keys",
                field="batch.rows.count",
            )
        stored = await self._store.read(wanted, batch.trace)
        return _result(plan, rows, asked, wanted, stored, at_us)


def _result(
    plan: LookupPlan,
    rows: Rows,
    asked: Sequence[AskedKeys],
    wanted: Sequence[ViewRead],
    stored: Sequence[ViewRows],
    at_us: NDArray[np.int64],
) -> LookupResult:
    count = len(rows)
    states = np.empty(len(at_us), np.uint8)
    states.fill(_FRESH)
    as_of_us = np.zeros(len(at_us), np.int64)
    values = [columns.empty(count) for columns in plan.defaults]
    filled: list[tuple[ViewColumns, slice]] = []
    complete = True
    for view, view_asked, read, found in zip(plan.views, asked, wanted, stored, strict=True):
        part = slice(view.offset * count, (view.offset + view.width) * count)
        columns = ViewColumns(view, values, view_asked, rows)
        complete &= columns.fill(found, read.has_pointer, states[part], as_of_us[part], at_us[part])
        filled.append((columns, part))
    age_us: NDArray[np.int64] = np.maximum(at_us - as_of_us, _ZERO)
    # `count_nonzero` and the method `repeat` take a third of what `any` and the function do.
    if plan.has_max_age and np.count_nonzero(age_us > plan.max_age_us.repeat(count)):
        for columns, part in filled:
            columns.judge_ages(states[part], age_us[part])
    for columns, _ in filled:
        columns.count_fresh()
    if not complete or rows.failures:
        age_us[(states != _FRESH) & (states != _STALE)] = -1
    for view, (_, part) in zip(plan.views, filled, strict=True):
        view.counts.count_ages(age_us[part])
    outcomes: list[ViewOutcome] = []
    for view, view_asked, (columns, part) in zip(plan.views, asked, filled, strict=True):
        outcome = ViewOutcome(view.name, states[part], age_us[part], columns.presence())
        if view.elements is not None:
            outcome = list_outcome(view, view_asked, outcome, rows)
        outcomes.append(outcome)
    if rows.failures:
        for outcome in outcomes:
            outcome.fail(list(rows.failures))
    blocks: list[Block] = []
    for columns_of_type, each in zip(plan.defaults, values, strict=True):
        blocks += columns_of_type.blocks(each)
    return LookupResult(Columns(count, blocks), outcomes)
