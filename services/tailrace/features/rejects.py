"""A file of the rows that a load refuses: which, why, their keys, and the value at fault."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from tailrace.features.load_errors import LoadFailed

_FIELDS: list[Any] = [
    ("view", pa.string()),
    ("row", pa.int64()),
    ("reason", pa.string()),
    ("content", pa.string()),
]
_SCHEMA = pa.schema(_FIELDS)
NDJSON_SUFFIXES = (".ndjson", ".jsonl")
PARQUET_SUFFIXES = (".parquet", ".pq")
_ENTRIES_PER_WRITE = 10_000
_MAX_CONTENT = 1000
_MAX_VALUE = 200


class RejectsFile:
    """Writes what is refused, an entry a row; a context that completes the file on leaving.

    An entry has `view`, `row`, `reason` and `content`. Rows are counted from 1 in the order of
    the source. Of a CSV line with the wrong number of columns the number is not known and null;
    such lines are not counted. `content` is the row's keys and the value of the column at fault,
    of which at most 200 characters, as JSON; or that line. Of either there are at most 1,000
    characters.

    Of two rows with one key, the one that comes second is told as `duplicate key`, also where it
    is the later one and takes the other's place.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file; one that is there is replaced.

        Args:
            path: ends in .ndjson, .jsonl, .parquet or .pq.

        Raises:
            LoadFailed: it ends in something else, or cannot be written.
        """
        self.path = path
        self._entries: list[tuple[str, int | None, str, str]] = []
        suffix = path.suffix.lower()
        if suffix not in (*NDJSON_SUFFIXES, *PARQUET_SUFFIXES):
            known = ", ".join((*NDJSON_SUFFIXES, *PARQUET_SUFFIXES))
            raise LoadFailed(f"{path}: unknown kind of file for rejects; it should end in {known}")
        try:
            self._file = path.open("wb")
            self._parquet: parquet.ParquetWriter | None = None
            if suffix in PARQUET_SUFFIXES:
                self._parquet = parquet.ParquetWriter(self._file, _SCHEMA)
        except OSError as error:
            raise LoadFailed(f"{path} cannot be written: {error}") from error

    def __enter__(self) -> RejectsFile:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Completes the file. Raises LoadFailed."""
        try:
            self._write()
            if self._parquet is not None:
                self._parquet.close()
            self._file.close()
        except OSError as problem:
            raise LoadFailed(f"{self.path} cannot be written: {problem}") from problem

    def add(
        self,
        view: str,
        rows: Sequence[int],
        reason: str,
        cells: pa.RecordBatch,
        column: str | None,
    ) -> None:
        """Keeps rows that were refused.

        Args:
            view: name of the view.
            rows: their numbers.
            reason: why.
            cells: what is told of each, by column.
            column: the one at fault, of which the beginning is told; None if no single one is.

        Raises:
            LoadFailed: the file cannot be written.
        """
        for place, row in enumerate(rows):
            told = {name: _cell_value(cells.column(name)[place]) for name in cells.schema.names}
            if column is not None:
                told[column] = _shortened(told[column])
            text = json.dumps(told, default=_text, ensure_ascii=False)
            self._add((view, row, reason, text[:_MAX_CONTENT]))

    def add_malformed(self, view: str, reason: str, text: str) -> None:
        """Keeps a line that is no row. Raises LoadFailed."""
        self._add((view, None, reason, text[:_MAX_CONTENT]))

    def _add(self, entry: tuple[str, int | None, str, str]) -> None:
        self._entries.append(entry)
        if len(self._entries) >= _ENTRIES_PER_WRITE:
            try:
                self._write()
            except OSError as error:
                raise LoadFailed(f"{self.path} cannot be written: {error}") from error

    def _write(self) -> None:
        entries = [dict(zip(_SCHEMA.names, entry, strict=True)) for entry in self._entries]
        self._entries = []
        if self._parquet is not None:
            self._parquet.write_table(pa.Table.from_pylist(entries, _SCHEMA))
            return
        lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
        self._file.write("".join(lines).encode(errors="replace"))


def _cell_value(cell: Any) -> Any:
    """Returns an Arrow scalar as a Python value; as text if Python has none that fits."""
    try:
        return cell.as_py()
    except (OverflowError, ValueError):
        # An instant beyond the year 9999, or finer than a microsecond.
        return str(cell.cast(pa.int64())) + f" ({cell.type})"


def _shortened(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    is_text = isinstance(value, str | bytes)
    text = _text(value) if is_text else json.dumps(value, default=_text, ensure_ascii=False)
    return value if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
