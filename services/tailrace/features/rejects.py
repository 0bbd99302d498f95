"""A file of the rows that a load refuses: which, why, and their keys."""

from __future__ import annotations

import json
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


class RejectsFile:
    """Writes what is refused, an entry a row; a context that completes the file on leaving.

    An entry has `view`, `row`, `reason` and `content`. Rows are counted from 1 in the order of
    the source. Of a CSV line with the wrong number of columns the number is not known and null;
    such lines are not counted. `content` is the row's keys as JSON, or that line, of either at
    most 1,000 characters.

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

    def add(self, view: str, rows: Sequence[int], reason: str, keys: Sequence[Any]) -> None:
        """Keeps rows that were refused; `keys` has what names each. Raises LoadFailed."""
        for row, key in zip(rows, keys, strict=True):
            text = json.dumps(key, default=_text, ensure_ascii=False)
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


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
