"""The instants that features are wanted for, and the entities that they are wanted of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.history.accepted import key_sql
from tailrace.features.history.engine import Engine
from tailrace.features.history.errors import (
    ColumnMissing,
    HistoryFailed,
    InstantColumnMissing,
    KeyColumnMissing,
)
from tailrace.features.history.source import Source, TableLike, open_source
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import FeatureView

WHAT = "instants"


@dataclass(frozen=True, slots=True)
class Instants:
    """The instants.

    Attributes:
        table: as it was given; a CSV file's columns are text.
        rows: table of the columns of `table`, @row (from 0) and @at (microseconds since 1970),
            while the engine lives.
        source: reads `rows`.
        at_us: int64 [rows].
    """

    table: pa.Table
    rows: str
    source: Source
    at_us: NDArray[np.int64]

    def keys(self, view: FeatureView, columns: Mapping[str, str]) -> list[str]:
        """Returns SQL for each key of a view.

        Args:
            view: the view.
            columns: the column of each key; by default, the one of its name.

        Raises:
            KeyColumnMissing: there is no such column.
            HistoryFailed: it is of another type.
        """
        found = []
        for key in view.keys:
            column = columns.get(key.name, key.name)
            try:
                found.append(key_sql(key, self.source.column(column, key.dtype)))
            except ColumnMissing as missing:
                raise KeyColumnMissing(str(missing), key.name) from missing
        return found


def read_instants(engine: Engine, rows: TableLike, at: str) -> Instants:
    """Returns the instants.

    Args:
        engine: holds them.
        rows: the columns of the keys, the column `at`, and any others.
        at: name of the column of the instants.

    Raises:
        InstantColumnMissing: there is no column `at`.
        HistoryFailed: they cannot be read, there are none, or one of them is null or no instant.
    """
    with open_source(engine, rows, WHAT) as source:
        try:
            instant = source.column(at, DType.TIMESTAMP)
        except ColumnMissing as missing:
            raise InstantColumnMissing(str(missing)) from missing
        table = rows if isinstance(rows, pa.Table) else engine.table(f"FROM {source.relation}")
        if not table.num_rows:
            raise HistoryFailed(f"{source.what}: there are none")
        numbered = table.append_column("@row", pa.array(np.arange(table.num_rows)))
        with engine.view_of(numbered) as name:
            kept = engine.create("instants", f'SELECT *, {instant} AS "@at" FROM {name}')
        instants = engine.table(f'SELECT "@at" FROM {kept} ORDER BY "@row"')["@at"]
        if instants.null_count:
            raise HistoryFailed(
                f"{source.what}: {instants.null_count} of {table.num_rows} values of column "
                f"{at!r} are null or no instants"
            )
        kept_source = Source(source.what, kept, source.columns, source.is_csv)
        return Instants(table, kept, kept_source, instants.to_numpy())
