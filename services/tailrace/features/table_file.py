"""A Parquet or CSV file, read in batches."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from tailrace.features.load_errors import LoadFailed

PARQUET_SUFFIXES = (".parquet", ".pq")
CSV_SUFFIXES = (".csv",)
BATCH_ROWS = 8192
# A batch is in memory several times over: as read, as typed columns, and as stored rows.
_BATCH_BYTES = 32 * 1024 * 1024


class TableFile:
    """One file of rows.

    Attributes:
        path: where it is.
        label: what messages call it.
        schema: its columns and their types; every column of a CSV file is of type binary.
        total_rows: number of rows, or None where only reading would tell (CSV).
        malformed_rows: rows read so far that have the wrong number of columns (CSV).
        on_malformed: told the text of each of them.
    """

    def __init__(
        self, path: Path, *, null_texts: Sequence[str] = ("",), label: str | None = None
    ) -> None:
        """Reads the header.

        Args:
            path: a file that ends in .parquet, .pq or .csv.
            null_texts: what stands for null in a CSV file, where it is not in quotes.
            label: what messages call it; by default its path.

        Raises:
            LoadFailed: no such file, or not such a file.
        """
        self.path = path
        self.label = str(path) if label is None else label
        self.total_rows: int | None = None
        self.malformed_rows = 0
        self.on_malformed: Callable[[str], None] = lambda text: None
        self._null_texts = list(null_texts)
        self._is_csv = path.suffix.lower() in CSV_SUFFIXES
        if not self._is_csv and path.suffix.lower() not in PARQUET_SUFFIXES:
            known = ", ".join((*PARQUET_SUFFIXES, *CSV_SUFFIXES))
            raise LoadFailed(f"{path}: unknown kind of file; its name should end in {known}")
        with self._arrow_errors():
            if self._is_csv:
                with path.open("rb") as file:
                    names = arrow_csv.open_csv(
                        file, parse_options=_parse(lambda _: "skip")
                    ).schema.names
                self.schema = pa.schema([(name, pa.binary()) for name in names])
            else:
                with parquet.ParquetFile(path) as reader:
                    self.schema = reader.schema_arrow
                    self.total_rows = reader.metadata.num_rows
            self._seen = self._version()

    def digest(self) -> str:
        """Returns the SHA-256 hash of the file's content, in hexadecimal."""
        with self._arrow_errors(), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def batches(self, columns: Sequence[str], row_bytes: int = 1) -> Iterator[pa.RecordBatch]:
        """Yields the rows of some columns in batches; may be called again, with the same batches.

        Args:
            columns: the columns wanted.
            row_bytes: what a row takes at least, in bytes: of large rows a batch has fewer.

        Raises:
            LoadFailed: the file cannot be read, or is another one than when its header was read.
        """
        self.malformed_rows = 0
        with self._arrow_errors():
            if self._is_csv:
                yield from self._csv_batches(columns)
            else:
                with parquet.ParquetFile(self.path) as reader:
                    rows = _batch_rows(max(row_bytes, _row_bytes(reader.metadata)))
                    yield from reader.iter_batches(rows, columns=list(columns))
            if self._version() != self._seen:
                raise LoadFailed(f"{self.label} was changed while it was read; load it again")

    def _version(self) -> tuple[int, int, int]:
        """Returns what changes when the file is written or replaced."""
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _csv_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        # As bytes: a value that is not what it should be must not end the whole load.
        convert = arrow_csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: pa.binary() for name in columns},
            null_values=self._null_texts,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=False,
        )
        parse = _parse(self._skip_malformed)
        with self.path.open("rb") as file:
            reader = arrow_csv.open_csv(file, parse_options=parse, convert_options=convert)
            for batch in reader:
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield batch.slice(start, BATCH_ROWS)

    def _skip_malformed(self, row: Any) -> Literal["skip"]:
        self.malformed_rows += 1
        self.on_malformed(row.text)
        return "skip"

    @contextlib.contextmanager
    def _arrow_errors(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise LoadFailed(f"{self.label} cannot be read: {error}") from error


def _batch_rows(row_bytes: int) -> int:
    return max(1, min(BATCH_ROWS, _BATCH_BYTES // row_bytes))


def _row_bytes(metadata: parquet.FileMetaData) -> int:
    """Returns what a row of the largest row group takes, in bytes, as encoded."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=1)


def _parse(on_malformed: Callable[[Any], Literal["skip"]]) -> arrow_csv.ParseOptions:
    return arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_malformed)
