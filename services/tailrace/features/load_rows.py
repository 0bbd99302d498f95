"""The rows of a table file as stored rows, with an account of which were refused and why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.column_statistics import StatisticsCollector
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_options import BadRowLimit
from tailrace.features.rejects import RejectsFile
from tailrace.features.row_encoder import EncodedRows, RowEncoder
from tailrace.features.table_file import TableFile
from tailrace.features.typed_column import typed_column
from tailrace.runtime.columns import DType
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.pipeline.feature_view import FeatureView

MALFORMED = "wrong number of columns"


@dataclass(slots=True)
class LoadRows:
    """Reads the rows of one load, once.

    Attributes:
        view: the view.
        table: the file.
        timestamp_column: says when each row was true, or None.
        load_time_us: stands for it where there is none, microseconds since 1970.
        limit: how many bad rows there may be.
        since_us: earlier rows are passed over, microseconds since 1970; None to take all.
        rejects: where refused rows are told, or None.
        done: rows read so far, those passed over included.
        passed_over: rows earlier than `since_us` so far.
        encoded: good rows so far; of an entity that comes more than once, each row that was the
            latest so far counts.
        watermark_us: the latest timestamp so far, or None.
        statistics: of the rows so far.
    """

    view: FeatureView
    table: TableFile
    timestamp_column: str | None
    load_time_us: int
    limit: BadRowLimit
    since_us: int | None = None
    rejects: RejectsFile | None = None
    done: int = 0
    passed_over: int = 0
    encoded: int = 0
    watermark_us: int | None = None
    statistics: StatisticsCollector = field(init=False)
    _encoder: RowEncoder = field(init=False)
    _batch: Any = field(init=False, default=None)
    _numbers: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Checks that the file has what the view needs. Raises LoadFailed."""
        on_refused = self._tell if self.rejects is not None else None
        self._encoder = RowEncoder(
            self.view, self.table.schema, self.timestamp_column, self.load_time_us, on_refused
        )
        self.statistics = StatisticsCollector(self.view)
        self.table.on_malformed = self._tell_malformed

    @property
    def distinct(self) -> int:
        """Number of different keys so far."""
        return self._encoder.stored

    @property
    def bad_rows(self) -> Mapping[str, int]:
        """Number of rows refused so far, by reason."""
        if self.table.malformed_rows:
            self._encoder.bad_rows[MALFORMED] = self.table.malformed_rows
        return self._encoder.bad_rows

    @property
    def next_watermark_us(self) -> int | None:
        """From when on the next increment takes rows, microseconds since 1970; None if not told.

        The latest timestamp so far, but not later than now: one row of the year 9999 must not
        keep every later increment from finding anything.
        """
        if self.watermark_us is None:
            return None
        return min(self.watermark_us, time.time_ns() // NS_PER_US)

    def batches(self) -> Iterator[EncodedRows]:
        """Yields the good rows of each batch of the file; `done` then tells its end.

        Raises:
            LoadFailed: the file cannot be read, or has too many bad rows: where a number of them
                is allowed as soon as it is exceeded, else at the end.
        """
        encoder = self._encoder
        # Eight bytes a number, whatever its type.
        row_bytes = 8 * sum(feature.length or 1 for feature in self.view.features)
        for batch in self.table.batches(encoder.columns, row_bytes):
            self._numbers = np.arange(self.done + 1, self.done + 1 + batch.num_rows)
            self.done += batch.num_rows
            self._batch = batch if self.since_us is None else self._not_older(batch, self.since_us)
            encoded = encoder.encode(self._batch)
            if self.timestamp_column is not None and len(encoded.as_of_us):
                latest = int(encoded.as_of_us.max())
                before = self.watermark_us
                self.watermark_us = latest if before is None else max(before, latest)
            self.encoded += len(encoded.rows)
            self.statistics.add(encoded.values, encoded.present)
            yield encoded
            if self.limit.count is not None:
                self._check_bad_rows()
        self._check_bad_rows()

    def _not_older(self, batch: pa.RecordBatch, since_us: int) -> pa.RecordBatch:
        assert self.timestamp_column is not None, "there are timestamps"
        column = typed_column(batch.column(self.timestamp_column), DType.TIMESTAMP)
        # What has no timestamp, or a bad one, is refused and not passed over.
        wanted = (column.values >= since_us) | column.nulls
        for bad in column.bad.values():
            wanted |= bad
        kept = np.flatnonzero(wanted)
        if len(kept) == batch.num_rows:
            return batch
        self.passed_over += batch.num_rows - len(kept)
        self._numbers = self._numbers[kept]
        return batch.take(pa.array(kept, pa.int64()))

    def _check_bad_rows(self) -> None:
        bad_rows = self.bad_rows
        malformed = self.table.malformed_rows
        bad, total = sum(bad_rows.values()), self.done - self.passed_over + malformed
        if not self.limit.allows(bad, total):
            count = self.limit.count
            allowed = count if count is not None else f"{self.limit.share:.2%}"
            raise LoadFailed(
                f"{self.table.label}: {bad} of {total} rows are bad, and {allowed} are allowed",
                bad_rows,
            )

    def _tell(self, reason: str, places: Any, column: str | None) -> None:
        assert self.rejects is not None, "there is a file"
        names = [key.name for key in self.view.keys]
        if column is not None and column not in names:
            names.append(column)
        cells = self._batch.select(names).take(pa.array(places, pa.int64()))
        self.rejects.add(self.view.view, self._numbers[places].tolist(), reason, cells, column)

    def _tell_malformed(self, text: str) -> None:
        if self.rejects is not None:
            self.rejects.add_malformed(self.view.view, MALFORMED, text)
