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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.plan import LookupPlan, LookupView
from tailrace.features.state import FeatureState
from tailrace.features.store import FeatureStore, ViewKeys
from tailrace.features.view_columns import ViewColumns
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Array, Block, Columns
from tailrace.runtime.deadline import NS_PER_US, Deadline
from tailrace.runtime.errors import InvalidBatch, LimitExceeded


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
            DeadlineExceeded: the latest deadline of the rows passed.
            Unavailable: the store cannot be reached or cannot serve.
            FeaturesCorrupt: what the store says about a view cannot be read.
        """
        rows = batch.rows
        live = rows.live()
        if len(live) * len(plan.views) > self._max_keys:
            raise LimitExceeded(
                f"{len(live)} rows of {len(plan.views)} views are more than {self._max_keys} keys",
                field="batch.rows.count",
            )
        wanted = [ViewKeys(view.name, _keys(view, batch.columns, live)) for view in plan.views]
        deadline = Deadline(int(rows.deadlines_ns[live].max(initial=0)))
        stored = await self._store.read(wanted, deadline)
        now_us = self._now_us()
        blocks = [
            Block(
                column.names,
                column.dtype,
                np.empty((len(column.names), len(rows)), column.dtype.numpy),
            )
            for column in plan.defaults
        ]
        outcomes = []
        for view, found in zip(plan.views, stored, strict=True):
            columns = ViewColumns(view, plan.defaults, blocks, rows, live)
            states, age_us = columns.fill(found, now_us)
            outcomes.append(ViewOutcome(view.name, states, age_us))
        if rows.failures:
            failed = list(rows.failures)
            for outcome in outcomes:
                outcome.states[failed] = FeatureState.UNSPECIFIED
                outcome.age_us[failed] = -1
        return LookupResult(Columns(len(rows), blocks), outcomes)


def _keys(view: LookupView, columns: Columns, live: NDArray[np.intp]) -> Sequence[str | None]:
    """Returns the key of every row; None where the row has failed or its key is null."""
    parts: list[Array] = []
    present: NDArray[np.bool_] | None = None
    for name, dtype in view.key_columns:
        if name not in columns or columns.dtype(name) is not dtype or columns[name].ndim != 1:
            raise InvalidBatch(
                f"no key column {name!r} of type {dtype.value}", field="batch.blocks"
            )
        parts.append(columns[name])
        validity = columns.validity(name)
        if validity is not None:
            present = validity if present is None else present & validity
    if present is not None:
        live = live[present[live]]
    if len(live) == columns.rows:
        return view.encoder.encode(parts)
    keys: list[str | None] = [None] * columns.rows
    texts = view.encoder.encode([part[live] for part in parts])
    for row, text in zip(live.tolist(), texts, strict=True):
        keys[row] = text
    return keys
