"""Training sets: what views would have answered at given instants."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.history.accepted import accepted_events, newest_events
from tailrace.features.history.engine import Engine, EngineOptions, open_engine
from tailrace.features.history.errors import HistoryFailed
from tailrace.features.history.event_table import EventTable, event_table
from tailrace.features.history.feature_columns import Column, windowed_column
from tailrace.features.history.inputs import view_inputs
from tailrace.features.history.instants import Instants, read_instants
from tailrace.features.history.report import HistoryReport, ReadReport, ViewReport
from tailrace.features.history.source import TableLike, open_source
from tailrace.features.history.static_view import static_columns
from tailrace.features.history.window_values import window_values
from tailrace.runtime.pipeline.event_fit import event_problems
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView

_US = timedelta(microseconds=1)

OnProgress = Callable[[str, int, int], None]
"""Told the name of a view, how many of its instants are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class EventFile:
    """Events of one type.

    Attributes:
        event: their type.
        rows: have the columns id, event_time, known_at, and those of the type's fields; without
            known_at, each event counts as known when it happened.
    """

    event: EventType
    rows: TableLike


@dataclass(frozen=True, slots=True)
class StaticFile:
    """The rows of a static view, of all times.

    Attributes:
        rows: have a column per key and feature.
        timestamp: column that says when each row was true.
    """

    rows: TableLike
    timestamp: str


@dataclass(frozen=True, slots=True)
class ViewAt:
    """A view of a training set.

    Attributes:
        view: the view.
        made_of: its events or its rows.
        name: what its columns begin with; by default, the view's own name.
        keys: column of the instants for each key; by default, the one of its name.
    """

    view: FeatureView
    made_of: EventFile | StaticFile
    name: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What its columns begin with."""
        return self.name or self.view.view


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A training set.

    Attributes:
        table: the columns of the instants, then of each view `<name>.<feature>`, and
            `<name>.missing`, where its entity had nothing; `<name>.stale`, too, where the view
            sets that flag.
        report: what became of events, rows and views.
    """

    table: pa.Table
    report: HistoryReport


def history(
    view: FeatureView,
    event: EventType,
    events: TableLike,
    instants: TableLike,
    *,
    at: str = "at",
    options: EngineOptions = EngineOptions(),  # noqa: B008  # frozen
) -> pa.Table:
    """Returns the table of `training_set` for one windowed view."""
    wanted = [ViewAt(view, EventFile(event, events))]
    return training_set(wanted, instants, at=at, options=options).table


def training_set(
    views: Sequence[ViewAt],
    instants: TableLike,
    *,
    at: str = "at",
    options: EngineOptions = EngineOptions(),  # noqa: B008  # frozen
    now_us: int | None = None,
    on_progress: OnProgress = lambda view, done, total: None,
) -> TrainingSet:
    """Returns what the views would have answered at the instants, from what was known at each.

    Args:
        views: the views.
        instants: have the columns of the keys, the column `at`, and any others, which are kept.
            A null key is an entity that has nothing.
        at: name of the column of the instants.
        options: what DuckDB may use.
        now_us: this machine's clock, microseconds since 1970: later events are refused.
        on_progress: told how far each view is.

    Raises:
        HistoryFailed: something cannot be read, or does not fit the views.
    """
    began = time.monotonic()
    clock_us = time.time_ns() // 1000 if now_us is None else now_us
    _check_names(views)
    report = HistoryReport()
    with open_engine(options) as engine:
        wanted = read_instants(engine, instants, at)
        tables: dict[str, EventTable] = {}
        columns: dict[str, Any] = {name: wanted.table[name] for name in wanted.table.column_names}
        for each in views:
            made = (
                _windowed(engine, each, each.made_of, tables, wanted, report, clock_us, on_progress)
                if isinstance(each.made_of, EventFile)
                else _static(engine, each, each.made_of, wanted, report)
            )
            taken = [name for name in made if name in columns]
            if taken:
                raise HistoryFailed(f"the instants have a column {taken[0]!r} already")
            columns |= made
            on_progress(each.prefix, wanted.table.num_rows, wanted.table.num_rows)
        report.instants = wanted.table.num_rows
        report.seconds = time.monotonic() - began
        return TrainingSet(pa.table(columns), report)


def _check_names(views: Sequence[ViewAt]) -> None:
    if not views:
        raise HistoryFailed("no view is named")
    seen = set()
    for each in views:
        if each.prefix in seen:
            raise HistoryFailed(f"view {each.prefix!r} is there twice: give one another name")
        seen.add(each.prefix)
        for key in each.keys:
            if key not in [known.name for known in each.view.keys]:
                raise HistoryFailed(f"view {each.prefix!r} has no key {key!r}")
        if each.view.kind == "feast":
            problem = "is Feast's: its past is in Feast's own store"
            raise HistoryFailed(f"view {each.prefix!r} {problem}")
        is_windowed = each.view.kind == "windowed"
        if is_windowed != isinstance(each.made_of, EventFile):
            made = "events" if is_windowed else "rows"
            raise HistoryFailed(f"view {each.prefix!r} is {each.view.kind}: it is made of {made}")
        if isinstance(each.made_of, EventFile):
            event = each.made_of.event
            problems = event_problems(each.view, {event.event: event})
            if problems:
                raise HistoryFailed(f"view {each.prefix!r}: {problems[0]}")


def _windowed(
    engine: Engine,
    each: ViewAt,
    made_of: EventFile,
    tables: dict[str, EventTable],
    wanted: Instants,
    report: HistoryReport,
    now_us: int,
    on_progress: OnProgress,
) -> dict[str, Column]:
    view, event = each.view, made_of.event
    keys = wanted.keys(view, each.keys)
    if event.event not in tables:
        what = f"events of {event.event!r}"
        with open_source(engine, made_of.rows, what, takes_json=True) as source:
            tables[event.event] = event_table(engine, event, source, now_us)
        read = tables[event.event]
        report.events[event.event] = ReadReport(read.read, read.refused, read.known_when_happened)
    inputs = view_inputs(view, event)
    accepted = accepted_events(engine, view, tables[event.event], inputs)
    named = ", ".join(f"{sql} AS key_{place}" for place, sql in enumerate(keys))
    names = ", ".join(f"key_{place}" for place in range(len(keys)))
    entity = engine.table(
        f'SELECT coalesce(entity, -1) AS entity FROM (SELECT "@row", {named} FROM {wanted.rows}) '
        f'LEFT JOIN {accepted.entities} USING ({names}) ORDER BY "@row"'
    )["entity"].to_numpy()
    values = window_values(
        engine,
        view,
        accepted,
        inputs,
        entity,
        wanted.at_us,
        lambda done, total: on_progress(each.prefix, done, total),
    )
    missing = values.events == 0
    age_us = np.zeros(len(missing), np.int64)
    if view.ttl is not None or view.max_age is not None:
        newest_us = newest_events(engine, accepted, entity, wanted.at_us)
        age_us = np.maximum(wanted.at_us - newest_us, 0)
    engine.drop(accepted.entities, accepted.table)
    if view.ttl is not None:
        missing |= age_us > view.ttl // _US
        values = replace(
            values, events=np.where(missing, 0, values.events), present=values.present & ~missing
        )
    columns = {
        f"{each.prefix}.{feature.name}": windowed_column(feature, place, values)
        for place, feature in enumerate(view.features)
    }
    applied = len(accepted.entity)
    missed = int(missing.sum())
    report.views[each.prefix] = ViewReport(applied, missed, accepted.duplicates, accepted.late)
    return columns | _flags(each, missing, age_us)


def _static(
    engine: Engine, each: ViewAt, made_of: StaticFile, wanted: Instants, report: HistoryReport
) -> dict[str, Column]:
    with open_source(engine, made_of.rows, f"rows of {each.view.view!r}") as source:
        found = static_columns(engine, each.view, source, made_of.timestamp, wanted, each.keys)
    report.rows[each.prefix], report.views[each.prefix] = found.read, found.report
    columns = {
        f"{each.prefix}.{feature.name}": column
        for feature, column in zip(each.view.features, found.columns, strict=True)
    }
    return columns | _flags(each, found.missing, found.age_us)


def _flags(
    each: ViewAt, missing: NDArray[np.bool_], age_us: NDArray[np.int64]
) -> dict[str, Column]:
    flags: dict[str, Column] = {f"{each.prefix}.missing": pa.array(missing)}
    if "stale" in each.view.flag_names():
        limit_us = 2**63 - 1 if each.view.max_age is None else each.view.max_age // _US
        flags[f"{each.prefix}.stale"] = pa.array(~missing & (age_us > limit_us))
    return flags
