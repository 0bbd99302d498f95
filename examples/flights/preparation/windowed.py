"""Windowed features at the instants that flights were due to leave, as the store had them then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.history.training_set import EventFile, ViewAt, training_set
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.view_plan import InstantSource, ViewPlan

Sources = Mapping[str, NDArray[Any]]

_AT = "@at"


def windowed_features(
    plans: Sequence[ViewPlan],
    sources: Sources,
    types: Mapping[str, EventType],
    events: Mapping[str, pd.DataFrame],
) -> dict[str, NDArray[Any]]:
    """Returns the feature columns of windowed views by name, each of shape [rows].

    Args:
        plans: the views; each of them is read for an instant.
        sources: what their keys and instants come from, by column name in a lookup, each of shape
            [rows]; instants as int64 microseconds.
        types: the event types by name.
        events: the events of each type, as `preparation.events` returns them.

    Raises:
        HistoryFailed: the events do not fit the views.
    """
    tables = {name: pa.Table.from_pandas(table) for name, table in events.items()}
    found: dict[str, NDArray[Any]] = {}
    for _, group in groupby(sorted(plans, key=_instant_name), _instant_name):
        of_instant = list(group)
        views = [
            ViewAt(
                plan.view,
                EventFile(types[plan.view.events.event], tables[plan.view.events.event]),
                plan.name,
                {source.key.name: source.column for source in plan.keys},
            )
            for plan in of_instant
        ]
        columns: dict[str, Any] = {
            source.column: sources[source.column] for plan in of_instant for source in plan.keys
        }
        instants = sources[_instant(of_instant[0]).column]
        columns[_AT] = instants
        made = training_set(views, pa.table(columns), at=_AT).table
        for plan in of_instant:
            for column in plan.columns():
                found[column.name] = made[column.name].to_numpy()
    return found


def _instant(plan: ViewPlan) -> InstantSource:
    assert plan.instant is not None, "the pipeline reads the view for an instant"
    return plan.instant


def _instant_name(plan: ViewPlan) -> str:
    return f"{_instant(plan).origin}.{_instant(plan).name}"
