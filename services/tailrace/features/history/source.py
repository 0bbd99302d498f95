"""Where rows come from: a Parquet or CSV file, an Arrow table, or a relation of DuckDB."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from tailrace.features.history.conversion import EXPECTED, conversion
from tailrace.features.history.engine import Engine, identifier
from tailrace.features.history.errors import HistoryFailed
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.problem import nearest

TableLike = Path | pa.Table | duckdb.DuckDBPyRelation

_PARQUET = (".parquet", ".pq")
_CSV = (".csv",)


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read while the source is open.

    Attributes:
        what: names it in messages.
        relation: what SQL reads.
        columns: types by name, as DuckDB names them.
        is_csv: whether all of its columns are text that may mean anything.
    """

    what: str
    relation: str
    columns: dict[str, str]
    is_csv: bool

    def column(self, name: str, dtype: DType) -> str:
        """Returns SQL for a column's values as `dtype`, null where they are not.

        Raises:
            HistoryFailed: there is no such column, or it is of another type.
        """
        if name not in self.columns:
            hint = nearest(name, self.columns)
            suggestion = f"; did you mean {hint!r}?" if hint else ""
            known = ", ".join(self.columns)
            raise HistoryFailed(f"{self.what}: no column {name!r}, only {known}{suggestion}")
        found = self.columns[name]
        sql = conversion(identifier(name), found, dtype, is_csv=self.is_csv)
        if sql is None:
            expected = EXPECTED[dtype]
            raise HistoryFailed(f"{self.what}: column {name!r} is {found}, expected {expected}")
        return sql


@contextlib.contextmanager
def open_source(engine: Engine, rows: TableLike, what: str) -> Iterator[Source]:
    """Yields a source of rows.

    Args:
        engine: reads it.
        rows: what is read; a file ends in .parquet, .pq or .csv.
        what: names it in messages, such as `events of 'departure'`.

    Raises:
        HistoryFailed: it cannot be read.
    """
    if isinstance(rows, Path):
        what = f"{what}, {rows}"
        if not rows.is_file():
            raise HistoryFailed(f"{what}: there is no such file")
        yield _file(engine, rows, what)
        return
    table = rows if isinstance(rows, pa.Table) else rows.to_arrow_table()
    with engine.view_of(table) as name:
        yield Source(what, name, engine.columns(name), is_csv=False)


def _file(engine: Engine, path: Path, what: str) -> Source:
    quoted = str(path).replace("'", "''")
    suffix = path.suffix.lower()
    is_csv = suffix in _CSV
    if is_csv:
        relation = (
            f"read_csv('{quoted}', header = true, all_varchar = true, delim = ',', quote = '\"', "
            "escape = '\"', allow_quoted_nulls = false)"
        )
    elif suffix in _PARQUET:
        relation = f"read_parquet('{quoted}')"
    else:
        known = ", ".join((*_PARQUET, *_CSV))
        raise HistoryFailed(f"{what}: unknown kind of file; its name should end in {known}")
    try:
        return Source(what, relation, engine.columns(relation), is_csv)
    except HistoryFailed as error:
        raise HistoryFailed(f"{what} cannot be read: {error}") from error
