"""Lookups whose views have names, instants or lists of keys that no pipeline file gave them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tailrace.features.handler import LookupResult
from tailrace.features.plan import LookupPlan, compile_lookup
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Array, Columns, DType, column_block
from tailrace.runtime.pipeline.plan import ViewPlan
from tailrace.runtime.pipeline.view_plan import InstantSource
from tests.support.feature_world import FeatureWorld


def planned(
    world: FeatureWorld,
    view: str,
    *,
    name: str = "",
    lists: Sequence[str] = (),
    elements: int | None = None,
    has_instant: bool = False,
) -> ViewPlan:
    """Returns a view of a world's pipeline under another name, for an instant or for lists.

    Args:
        world: whose view.
        view: name of the view.
        name: what its columns begin with; by default, the name of the view.
        lists: the keys that are lists.
        elements: most elements of them.
        has_instant: whether the batch says what the features are wanted for.
    """
    name = name or view
    plan = next(plan for plan in world.pipeline.views if plan.view.view == view)
    keys = [
        dataclasses.replace(
            key,
            column=f"{name}.{key.key.name}",
            elements=elements if key.key.name in lists else None,
        )
        for key in plan.keys
    ]
    instant = InstantSource("request", "at", f"{name}.@at") if has_instant else None
    return ViewPlan(plan.view, tuple(keys), name, instant, elements if lists else None)


class PlannedLookups:
    """Looks up views as they are planned; `columns` and `validity` are by column name."""

    def __init__(self, world: FeatureWorld, *plans: ViewPlan) -> None:
        self.plans = plans
        self._world = world
        pipeline = dataclasses.replace(world.pipeline, views=plans)
        self.plan: LookupPlan = compile_lookup(pipeline)

    async def look_up(
        self,
        columns: Mapping[str, Any],
        validity: Mapping[str, Sequence[bool]] | None = None,
    ) -> tuple[Batch, LookupResult]:
        """Returns a batch and what the handler made of it."""
        batch = self.batch(columns, validity)
        return batch, await self._world.handler.handle(batch, self.plan)

    def batch(
        self, columns: Mapping[str, Any], validity: Mapping[str, Sequence[bool]] | None = None
    ) -> Batch:
        """Returns a batch; lists are filled up with empty text or zero."""
        rows = len(next(iter(columns.values())))
        blocks = []
        for name, cells in columns.items():
            dtype = self._dtype(name)
            present = (validity or {}).get(name)
            mask = None if present is None else np.array(present)
            blocks.append(column_block(name, dtype, _values(cells, dtype), mask))
        deadlines = [time.monotonic_ns() + 5 * 10**9] * rows
        ids = [f"request-{row}" for row in range(rows)]
        return Batch("p", self._world.pipeline.version, Rows(ids, deadlines), Columns(rows, blocks))

    def lists(self, column: str, lists: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Returns the column of a list-valued key, and of its lengths."""
        elements = next(
            plan.elements
            for plan in self.plans
            for key in plan.keys
            if key.column == column and plan.elements
        )
        empty = "" if self._dtype(column).is_ragged else 0
        padded = [[*cells, *[empty] * (elements - len(cells))] for cells in lists]
        return {column: padded, f"{column}.length": [len(cells) for cells in lists]}

    def _dtype(self, name: str) -> DType:
        if name.endswith(".length"):
            return DType.INT64
        if name.endswith(".@at"):
            return DType.TIMESTAMP
        return next(key.key.dtype for plan in self.plans for key in plan.keys if key.column == name)


def _values(cells: Any, dtype: DType) -> Array:
    shape = np.array(cells).shape
    values = np.empty(shape, dtype.numpy)
    values[...] = np.array(cells, dtype.numpy)
    return values
