"""What a query or a table of DuckDB returns, put into a file in the order of its keys.

A file, because a load may have to be gone on with: its rows must come again in the same order,
and their digest says whether they are the same. Sorting and the file also keep the query's
result out of memory, which DuckDB is given a limit of.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as parquet

from tailrace.features.load_errors import LoadFailed
from tailrace.features.table_file import TableFile

# What Parquet would make a float of, or what has no type of ours, as what it can be loaded from.
_CASTS = {
    "HUGEINT": "DECIMAL(38, 0)",
    "UHUGEINT": "DECIMAL(38, 0)",
    "UUID": "VARCHAR",
}
# As few as DuckDB hands out: they are beside what its memory is limited to.
_BATCH_ROWS = 2048
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What a query may use.

    Attributes:
        memory: most memory, as DuckDB writes it; beyond it DuckDB works on disk.
        folder: for what DuckDB puts on disk and for the result; by default the system's
            temporary folder.
    """

    memory: str = "1GB"
    folder: Path | None = None


DEFAULT_LIMITS = QueryLimits()


@dataclass(slots=True)
class SqlInput:
    """A query or a table of DuckDB. See `LoadInput`.

    Attributes:
        origin: what the query stands in, for messages: the view file, or an option.
        query: a SELECT statement, or None.
        table_name: a table or view of the database, or None.
        database: DuckDB file, opened read-only; None for a query that reads files only.
        folder: what paths in the query are relative to.
        limits: what the query may use.
    """

    origin: str
    query: str | None = None
    table_name: str | None = None
    database: Path | None = None
    folder: Path = Path()
    limits: QueryLimits = DEFAULT_LIMITS
    _running: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """The database and the table, or `query`."""
        parts = [self.database.name] if self.database else []
        return ":".join([*parts, self.table_name or "query"])

    @property
    def place(self) -> str:
        """What the query stands in, with the database."""
        what = "the query" if self.table_name is None else f"the table {self.table_name!r}"
        of_database = "" if self.database is None else f" (database {self.database})"
        return f"{what} in {self.origin}{of_database}"

    def schema(self) -> pa.Schema:
        """Returns the query's columns, without running it. Raises LoadFailed."""
        with self._folder() as folder, self._connected(folder) as connection:
            select = self._select(connection)
            casts = ", ".join(_cast(name, kind) for name, kind in _columns(connection, select))
            rows = connection.sql(f"SELECT {casts} FROM ({select}) LIMIT 0")
            schema: pa.Schema = rows.to_arrow_table().schema
            return schema

    @contextlib.contextmanager
    def table(
        self,
        keys: Sequence[str],
        others: Sequence[str],
        timestamp_column: str | None,
        since_us: int | None,
    ) -> Iterator[TableFile]:
        """Runs the query; of rows with equal keys the latest comes first. See `LoadInput`."""
        with self._folder() as folder:
            result = Path(folder) / "rows.parquet"
            with self._connected(folder) as connection:
                select = self._select(connection)
                kinds = dict(_columns(connection, select))
                columns = [*keys, *others]
                wanted = ", ".join(_cast(name, kinds.get(name, "")) for name in columns)
                order = ", ".join(map(_quoted, keys))
                if timestamp_column is not None:
                    order += f", {_quoted(timestamp_column)} DESC NULLS LAST"
                # Rows with one key in one order, too; sorting by all they hold takes much memory.
                order += f", hash({', '.join(map(_quoted, others))})"
                where = ""
                if timestamp_column is not None and since_us is not None:
                    where = _since(timestamp_column, kinds.get(timestamp_column, ""), since_us)
                # Streamed, as DuckDB's own writer holds more of the result in memory.
                rows = connection.sql(f"SELECT {wanted} FROM ({select}){where} ORDER BY {order}")
                batches = rows.to_arrow_reader(_BATCH_ROWS)
                with parquet.ParquetWriter(result, batches.schema) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
            yield TableFile(result, label=self.place)

    def interrupt(self) -> None:
        """Ends a query that runs in another thread; it raises LoadFailed there."""
        with self._lock:
            if self._running is not None:
                self._running.interrupt()

    def _folder(self) -> AbstractContextManager[str]:
        try:
            return tempfile.TemporaryDirectory(prefix="tailrace-load-", dir=self.limits.folder)
        except OSError as error:
            raise LoadFailed(f"{self.place}: no folder for its result: {error}") from error

    @contextlib.contextmanager
    def _connected(self, folder: str) -> Iterator[duckdb.DuckDBPyConnection]:
        if self.database is not None and not self.database.is_file():
            raise LoadFailed(f"{self.place}: there is no such file")
        settings: dict[str, Any] = {
            "memory_limit": self.limits.memory,
            "temp_directory": folder,
            "autoinstall_known_extensions": "false",
        }
        try:
            place = ":memory:" if self.database is None else str(self.database)
            read_only = self.database is not None
            with duckdb.connect(place, read_only=read_only, config=settings) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute(f"SET file_search_path = {_text(str(self.folder.absolute()))}")
                with self._lock:
                    self._running = connection
                try:
                    yield connection
                finally:
                    with self._lock:
                        self._running = None
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise LoadFailed(f"{self.place} failed: {error}") from error

    def _select(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Returns the SELECT statement. Raises LoadFailed."""
        if self.table_name is not None:
            parts = self.table_name.split(".")
            return f"SELECT * FROM {'.'.join(_quoted(part) for part in parts)}"
        statements = connection.extract_statements(self.query or "")
        if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
            raise LoadFailed(f"{self.place} is not one SELECT statement")
        # On a line of its own: a comment may end it.
        return f"{statements[0].query.rstrip().rstrip(';')}\n"


def _columns(connection: duckdb.DuckDBPyConnection, select: str) -> list[tuple[str, str]]:
    """Returns the names of a query's columns and DuckDB's types."""
    return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE ({select})").fetchall()]


def _cast(name: str, kind: str) -> str:
    target = "VARCHAR" if kind.startswith("ENUM") else _CASTS.get(kind)
    quoted = _quoted(name)
    return quoted if target is None else f"CAST({quoted} AS {target}) AS {quoted}"


def _since(column: str, kind: str, since_us: int) -> str:
    """Returns the condition for rows that are not older; those without a timestamp stay."""
    name = _quoted(column)
    if kind == "TIMESTAMP WITH TIME ZONE":
        condition = f"{name} >= make_timestamptz({since_us})"
    elif kind == "DATE":
        condition = f"{name} >= CAST(make_timestamp({since_us}) AS DATE)"
    elif kind.startswith("TIMESTAMP"):
        condition = f"CAST({name} AS TIMESTAMP) >= make_timestamp({since_us})"
    elif kind in _INTEGERS:
        condition = f"{name} >= {since_us}"
    else:
        return ""  # the rows are looked at one by one
    return f" WHERE {condition} OR {name} IS NULL"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
