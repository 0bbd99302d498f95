"""What a load reads: a file, or what a query of DuckDB returns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tailrace.features.load_errors import LoadFailed
from tailrace.features.sql_input import DEFAULT_LIMITS, QueryLimits, SqlInput
from tailrace.features.table_file import TableFile
from tailrace.runtime.pipeline.feature_view import FeatureView

__all__ = ["FileInput", "LoadInput", "view_input"]


class LoadInput(Protocol):
    """Rows to load. All that it does blocks."""

    @property
    def name(self) -> str:
        """What the store keeps of where the rows came from."""
        ...

    @property
    def place(self) -> str:
        """Where the rows come from, for messages."""
        ...

    def schema(self) -> pa.Schema:
        """Returns the columns and their types, without reading rows. Raises LoadFailed."""
        ...

    def table(
        self,
        keys: Sequence[str],
        others: Sequence[str],
        timestamp_column: str | None,
        since_us: int | None,
    ) -> AbstractContextManager[TableFile]:
        """Makes the rows a file, which is there while the context lasts.

        Args:
            keys: columns of the keys.
            others: all other columns that are wanted.
            timestamp_column: says when each row was true.
            since_us: rows with earlier timestamps need not be in the file, microseconds since
                1970; None if all are wanted.

        Raises:
            LoadFailed: the rows cannot be read.
        """
        ...

    def interrupt(self) -> None:
        """Ends what another thread has `table` or `schema` do; it raises LoadFailed there."""
        ...


@dataclass(frozen=True, slots=True)
class FileInput:
    """A Parquet or CSV file. See `LoadInput`.

    Attributes:
        path: where it is.
        null_texts: what stands for null in a CSV file, where it is not in quotes.
    """

    path: Path
    null_texts: Sequence[str] = ("",)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def schema(self) -> pa.Schema:
        """Returns the file's columns; of a CSV file all are binary. Raises LoadFailed."""
        return self._file().schema

    def table(
        self,
        keys: Sequence[str],
        others: Sequence[str],
        timestamp_column: str | None,
        since_us: int | None,
    ) -> AbstractContextManager[TableFile]:
        """Returns the file itself. Raises LoadFailed."""
        return nullcontext(self._file())

    def interrupt(self) -> None:
        """Does nothing: there is nothing to wait for."""

    def _file(self) -> TableFile:
        return TableFile(self.path, null_texts=self.null_texts)


def view_input(
    view: FeatureView,
    view_file: Path,
    *,
    null_texts: Sequence[str] = ("",),
    limits: QueryLimits = DEFAULT_LIMITS,
) -> LoadInput:
    """Returns what a view's own `source` names; its paths are relative to the view file.

    Raises:
        LoadFailed: the view has no source that could be loaded.
    """
    source = view.source
    if source is None:
        raise LoadFailed(
            f"view {view.view!r} has no source in {view_file}: name a file, or give it a source"
        )
    if source.type == "file":
        return FileInput(view_file.parent / source.path, null_texts)
    if source.type == "sql":
        database = None if source.database is None else view_file.parent / source.database
        return SqlInput(
            origin=str(view_file),
            query=source.query,
            table_name=source.table,
            database=database,
            folder=view_file.parent,
            limits=limits,
        )
    raise LoadFailed(not_loadable(view))


def not_loadable(view: FeatureView) -> str:
    """Returns why nothing is loaded into a view that is not static."""
    keeper = "made of events by `tailrace serve events`"
    if view.kind == "feast":
        keeper = "written by Feast"
    return f"view {view.view!r} is not loaded: its values are {keeper}"
