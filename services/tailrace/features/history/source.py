"""Where rows come from: a Parquet, CSV or NDJSON file, an Arrow table, or a relation of DuckDB."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from tailrace.features.history.conversion import EXPECTED, conversion
from tailrace.features.history.engine import Engine, identifier, literal
from tailrace.features.history.errors import ColumnMissing, HistoryFailed
from tailrace.features.history.json_cells import (
    BAD_LINE,
    JSON_VALUE,
    is_given,
    json_cell,
    json_id,
    lines,
    names,
)
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.problem import nearest

TableLike = Path | pa.Table | duckdb.DuckDBPyRelation

_PARQUET = (".parquet", ".pq")
_CSV = (".csv",)
_JSON = (".ndjson", ".jsonl")
_INTEGER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?")


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read while the source is open.

    Attributes:
        what: names it in messages.
        relation: what SQL reads.
        columns: types by name, as DuckDB names them.
        is_csv: whether all of its columns are text that may mean anything.
        is_json: whether its rows are lines of JSON, of which some may be no objects.
    """

    what: str
    relation: str
    columns: dict[str, str]
    is_csv: bool
    is_json: bool = False

    def column(self, name: str, dtype: DType) -> str:
        """Returns SQL for a column's values as `dtype`, null where they are not.

        Raises:
            HistoryFailed: there is no such column, or it is of another type.
        """
        if name not in self.columns:
            hint = nearest(name, self.columns)
            suggestion = f"; did you mean {hint!r}?" if hint else ""
            known = ", ".join(self.columns)
            problem = f"{self.what}: no column {name!r}, only {known}{suggestion}"
            raise ColumnMissing(problem)
        if self.is_json:
            return json_cell(name, dtype)
        found = self.columns[name]
        sql = conversion(identifier(name), found, dtype, is_csv=self.is_csv)
        if sql is None:
            expected = EXPECTED[dtype]
            raise HistoryFailed(f"{self.what}: column {name!r} is {found}, expected {expected}")
        return sql

    def id_column(self, name: str) -> str:
        """Returns SQL for a column's values as text; whole numbers are their digits.

        Raises:
            HistoryFailed: there is no such column, or it is of another type.
        """
        if _INTEGER.fullmatch(self.columns.get(name, "")):
            return f"CAST({identifier(name)} AS VARCHAR)"
        column = self.column(name, DType.STRING)
        return json_id(name) if self.is_json else column

    def given(self, name: str) -> str:
        """Returns SQL for whether a row has a value in a column, of whatever type."""
        return is_given(name) if self.is_json else f"{identifier(name)} IS NOT NULL"

    @property
    def bad_row(self) -> str:
        """SQL for whether a row cannot be read at all."""
        return BAD_LINE if self.is_json else "false"


@contextlib.contextmanager
def open_source(
    engine: Engine, rows: TableLike, what: str, *, takes_json: bool = False
) -> Iterator[Source]:
    """Yields a source of rows.

    Args:
        engine: reads it.
        rows: what is read; a file ends in .parquet, .pq or .csv.
        what: names it in messages, such as `events of 'departure'`.
        takes_json: whether it may be a file that ends in .ndjson or .jsonl, too.

    Raises:
        HistoryFailed: it cannot be read.
    """
    if isinstance(rows, Path):
        what = f"{what}, {rows}"
        if not rows.is_file():
            raise HistoryFailed(f"{what}: there is no such file")
        yield _file(engine, rows, what, takes_json)
        return
    table = rows if isinstance(rows, pa.Table) else rows.to_arrow_table()
    with engine.view_of(table) as name:
        yield Source(what, name, engine.columns(name), is_csv=False)


def _file(engine: Engine, path: Path, what: str, takes_json: bool) -> Source:
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
    elif suffix in _JSON and takes_json:
        relation = lines(literal(str(path)))
    else:
        known = ", ".join((*_PARQUET, *_CSV, *(_JSON if takes_json else ())))
        raise HistoryFailed(f"{what}: unknown kind of file; its name should end in {known}")
    try:
        if suffix in _JSON:
            found = engine.table(names(relation))["name"].to_pylist()
            if not found:
                raise HistoryFailed("it has no line that is a JSON object with names in it")
            columns = {str(name): JSON_VALUE for name in found}
            return Source(what, relation, columns, is_csv=False, is_json=True)
        return Source(what, relation, engine.columns(relation), is_csv)
    except HistoryFailed as error:
        raise HistoryFailed(f"{what} cannot be read: {error}") from error
