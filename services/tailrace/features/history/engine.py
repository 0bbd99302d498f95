"""DuckDB, inside this process, with a bound on its memory."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tailrace.features.history.errors import HistoryFailed

DEFAULT_MEMORY_MB = 4096


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine may use.

    Attributes:
        memory_mb: most memory of DuckDB, MiB; what does not fit goes to `spill_dir`.
        threads: of DuckDB; None for one per core.
        spill_dir: folder for what does not fit into memory; None for a temporary one.
    """

    memory_mb: int = DEFAULT_MEMORY_MB
    threads: int | None = None
    spill_dir: Path | None = None


class Engine:
    """A DuckDB database that lives as long as one computation."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Keeps the connection."""
        self._connection = connection
        self._numbers = itertools.count()

    def name(self, stem: str) -> str:
        """Returns a name that no table has yet."""
        return f"{stem}_{next(self._numbers)}"

    def run(self, sql: str) -> None:
        """Runs a statement. Raises HistoryFailed."""
        with _errors():
            self._connection.execute(sql)

    def table(self, sql: str) -> pa.Table:
        """Returns what a query finds. Raises HistoryFailed."""
        with _errors():
            found: pa.Table | None = self._connection.sql(sql).to_arrow_table()
            assert found is not None, "a query finds a table"
            return found

    def create(self, stem: str, query: str) -> str:
        """Makes a table of what a query finds, and returns its name."""
        name = self.name(stem)
        self.run(f"CREATE TEMP TABLE {name} AS {query}")
        return name

    def drop(self, *names: str) -> None:
        """Drops tables that `create` made."""
        for name in names:
            self.run(f"DROP TABLE {name}")

    @contextlib.contextmanager
    def view_of(self, table: Any) -> Iterator[str]:
        """Lets queries read an Arrow table, by the name that is yielded."""
        name = self.name("arrow")
        self._connection.register(name, table)
        try:
            yield name
        finally:
            self._connection.unregister(name)

    def columns(self, relation: str) -> dict[str, str]:
        """Returns the columns of a relation with their types, as DuckDB names them."""
        found = self.table(f"DESCRIBE SELECT * FROM {relation}").to_pydict()
        return dict(zip(found["column_name"], found["column_type"], strict=True))


@contextlib.contextmanager
def open_engine(options: EngineOptions) -> Iterator[Engine]:
    """Yields an engine with nothing in it. Raises HistoryFailed."""
    with tempfile.TemporaryDirectory(dir=options.spill_dir, prefix="history-") as spill:
        config: dict[str, Any] = {
            "memory_limit": f"{options.memory_mb}MiB",
            "temp_directory": spill,
            # What is needed comes with the package: nothing is fetched.
            "autoinstall_known_extensions": "false",
        }
        if options.threads is not None:
            config["threads"] = options.threads
        with _errors(), duckdb.connect(":memory:", config=config) as connection:
            # Text and timestamps without a zone are UTC.
            connection.execute("SET TimeZone = 'UTC'")
            yield Engine(connection)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise HistoryFailed(f"DuckDB: {error}") from error


def identifier(name: str) -> str:
    """Returns a column's name as SQL writes it."""
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def literal(value: str | int | float | bool) -> str:
    """Returns a value as SQL writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    # Numbers of events are float64 to the store, too.
    return f"'{float(value)!r}'::DOUBLE"
