"""Static views at given instants: of each entity the latest row that is not after the instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tailrace.features.history.accepted import key_sql
from tailrace.features.history.conversion import SQL_TYPES
from tailrace.features.history.engine import Engine, identifier, literal
from tailrace.features.history.errors import HistoryFailed
from tailrace.features.history.feature_columns import ARROW_TYPES, Column
from tailrace.features.history.instants import Instants
from tailrace.features.history.report import ReadReport, ViewReport
from tailrace.features.history.source import Source
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature import Feature
from tailrace.runtime.pipeline.feature_view import FeatureView

_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class StaticColumns:
    """A static view at the instants.

    Attributes:
        columns: one per feature, in the view's order.
        missing: bool [instants].
        age_us: int64 [instants], since the rows were true; of no meaning where missing.
        read: what was read of the rows.
        report: what became of the view.
    """

    columns: list[Column]
    missing: NDArray[np.bool_]
    age_us: NDArray[np.int64]
    read: ReadReport
    report: ViewReport


def static_columns(
    engine: Engine,
    view: FeatureView,
    source: Source,
    timestamp: str,
    instants: Instants,
    keys: Mapping[str, str],
) -> StaticColumns:
    """Returns a static view at the instants; of rows of one time the first counts, as in loads.

    Args:
        engine: does the work.
        view: the view.
        source: all rows that there ever were, with a column per key and feature.
        timestamp: the column that says when each row was true.
        instants: the instants.
        keys: column of the instants for each key; by default, the one of its name.

    Raises:
        HistoryFailed: a column is not there or is of the wrong type, or there are no rows.
    """
    wanted = instants.keys(view, keys)
    rows, read = _rows(engine, view, source, timestamp)
    parts = range(len(view.keys))
    same = " AND ".join(f"wanted.key_{p} = rows.key_{p}" for p in parts)
    named = ", ".join(f"{sql} AS key_{p}" for p, sql in enumerate(wanted))
    fresh = "true" if view.ttl is None else f'wanted."@at" - rows.true_at <= {view.ttl // _US}'
    found = engine.table(
        f"""
        SELECT rows.true_at IS NULL OR NOT {fresh} AS missing,
            coalesce(wanted."@at" - rows.true_at, 0) AS age,
            {", ".join(f"value_{place}" for place in range(len(view.features)))}
        FROM (SELECT "@row", "@at", {named} FROM {instants.rows}) AS wanted
        ASOF LEFT JOIN {rows} AS rows ON {same} AND wanted."@at" >= rows.true_at
        ORDER BY "@row"
        """
    )
    missing = found["missing"].to_numpy()
    columns = [
        _typed(found[f"value_{place}"].combine_chunks(), feature, missing)
        for place, feature in enumerate(view.features)
    ]
    applied = read.read - sum(read.refused.values())
    report = ViewReport(applied, int(missing.sum()))
    engine.drop(rows)
    return StaticColumns(columns, missing, found["age"].to_numpy(), read, report)


def _rows(
    engine: Engine, view: FeatureView, source: Source, timestamp: str
) -> tuple[str, ReadReport]:
    """Returns a table of the rows that are not refused: key_0 ..., true_at, value_0 ...."""
    keys = [key_sql(key, source.column(key.name, key.dtype)) for key in view.keys]
    selected = ["row_number() OVER () AS seq"]
    selected += [f"{sql} AS key_{place}" for place, sql in enumerate(keys)]
    selected.append(f"{source.column(timestamp, DType.TIMESTAMP)} AS true_at")
    problems = [(f"key_{p} IS NULL", f"no {key.name}") for p, key in enumerate(view.keys)]
    problems.append(("true_at IS NULL", f"{timestamp} is not an instant"))
    for place, feature in enumerate(view.features):
        selected.append(f"{_stored(feature, source)} AS value_{place}")
        selected.append(f"{identifier(feature.name)} IS NOT NULL AS given_{place}")
        problems += _problems(feature, place)
    cases = " ".join(f"WHEN {test} THEN {literal(reason)}" for test, reason in problems)
    judged = engine.create(
        "rows",
        f"SELECT *, CASE {cases} END AS reason "
        f"FROM (SELECT {', '.join(selected)} FROM {source.relation})",
    )
    counted = engine.table(f"SELECT reason, count(*) AS rows FROM {judged} GROUP BY reason")
    by_reason = dict(zip(*counted.to_pydict().values(), strict=True))
    read = sum(by_reason.values())
    if not read:
        raise HistoryFailed(f"{source.what}: there are no rows")
    by_reason.pop(None, None)
    names = ", ".join(f"key_{p}" for p in range(len(view.keys)))
    rows = engine.create(
        "rows",
        f"SELECT * FROM {judged} WHERE reason IS NULL QUALIFY row_number() "
        f"OVER (PARTITION BY {names}, true_at ORDER BY seq) = 1",
    )
    engine.drop(judged)
    return rows, ReadReport(read, dict(sorted(by_reason.items())))


def _stored(feature: Feature, source: Source) -> str:
    if feature.length is not None:
        return _vector(feature, source)
    if feature.type == "category":
        assert feature.values is not None, "checked when it was loaded"
        values = ", ".join(map(literal, feature.values))
        text = source.column(feature.name, DType.STRING)
        return f"list_position([{values}], {text}) - 1"
    return source.column(feature.name, feature.dtype)


def _vector(feature: Feature, source: Source) -> str:
    # Reading the column as text first makes a missing one an error as any other.
    found = source.columns.get(feature.name)
    if found is None or not found.endswith("]"):
        source.column(feature.name, feature.dtype)
        raise HistoryFailed(
            f"{source.what}: column {feature.name!r} is {found}, expected lists of "
            f"{feature.length} values"
        )
    column = identifier(feature.name)
    elements = f"TRY_CAST({column} AS {SQL_TYPES[feature.dtype]}[])"
    return f"CASE WHEN len({elements}) = {feature.length} THEN {elements} END"


def _problems(feature: Feature, place: int) -> Iterator[tuple[str, str]]:
    value = f"value_{place}"
    fits = f"{feature.name} does not fit type {feature.type}"
    if feature.type == "category":
        # What is none of the values is no value, as where a pipeline looks it up.
        fits = f"{feature.name} is none of its values"
    if feature.length is not None:
        fits = f"{feature.name} is no list of {feature.length} values"
        yield f"list_count({value}) < len({value})", fits
    yield f"given_{place} AND {value} IS NULL", fits


def _typed(column: Column, feature: Feature, missing: NDArray[np.bool_]) -> Column:
    """Returns a column in its type, with the default where it is null or the row missing."""
    arrow = ARROW_TYPES[feature.dtype]
    default: Any = feature.default_value
    if feature.length is None:
        typed: Any = column.cast(arrow, safe=False)
        absent: Any = pa.array(missing | ~column.is_valid().to_numpy(zero_copy_only=False))
        stand_in: Any = pa.array([default], _plain(feature.dtype)).cast(arrow)[0]
        filled: Column = pc.if_else(absent, stand_in, typed)
        return filled
    defaults = [default] * feature.length
    rows = [
        defaults if gone or row is None else row
        for row, gone in zip(column.to_pylist(), missing.tolist(), strict=True)
    ]
    return pa.array(rows, pa.list_(arrow, feature.length))


def _plain(dtype: DType) -> pa.DataType:
    return pa.int64() if dtype is DType.TIMESTAMP else ARROW_TYPES[dtype]
