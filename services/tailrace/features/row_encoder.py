"""Turns batches of a table file into stored rows, and tells the rows that cannot be stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.features.codec import MAX_ROW_BYTES, RowCodec
from tailrace.features.entity_key import KeyEncoder
from tailrace.features.feature_column import can_hold, described, feature_column
from tailrace.features.load_errors import LoadFailed
from tailrace.features.row_schema import row_schema
from tailrace.features.typed_column import TypedColumn, can_convert, typed_column
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.problem import nearest

DUPLICATE_KEY = "duplicate key"
NULL_KEY = "null key"
NULL_TIMESTAMP = "null timestamp"
TOO_LARGE = f"row larger than {MAX_ROW_BYTES} bytes"


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows ready to be stored: `keys[i]` names `rows[i]`.

    Attributes:
        keys: canonical texts of the entities' keys.
        rows: as they are stored.
        as_of_us: int64 [rows], when each was true, microseconds since 1970.
        values: what was encoded, by feature, each with the rows first.
        present: bool [rows] by feature, False where null; a feature left out has no nulls.
    """

    keys: list[str]
    rows: list[bytes]
    as_of_us: NDArray[np.int64]
    values: Mapping[str, Array]
    present: Mapping[str, NDArray[np.bool_]]


OnRefused = Callable[[str, Sequence[int], str | None], None]
"""Told a reason, the places of the rows refused for it in the batch being encoded, and the column
at fault; None if no single one is."""


class RowEncoder:
    """Encodes the rows of one load.

    Of rows with the same key the one with the latest timestamp counts, and of equal ones the
    first; the others are refused as duplicates. Where a later batch brings a later one, it is
    returned again, to overwrite.

    Attributes:
        columns: the columns of the file that are read.
        bad_rows: number of rows refused, by reason.
        stored: number of distinct keys so far.
    """

    def __init__(
        self,
        view: FeatureView,
        schema: pa.Schema,
        timestamp_column: str | None,
        load_time_us: int,
        on_refused: OnRefused | None = None,
    ) -> None:
        """Checks that the file has what the view needs.

        Args:
            view: the view.
            schema: columns of the file.
            timestamp_column: the column that says when each row was true, or None.
            load_time_us: stands for it where there is no such column, microseconds since 1970.
            on_refused: told every row that is refused.

        Raises:
            LoadFailed: columns are missing or of a type that cannot be converted.
        """
        self._keys = [(key.name, key.dtype) for key in view.keys]
        self._features = view.features
        self._timestamp_column = timestamp_column
        self._load_time_us = load_time_us
        self._on_refused = on_refused
        instants = [] if timestamp_column is None else [(timestamp_column, DType.TIMESTAMP)]
        single = self._keys + instants
        _check_columns(view, dict(single), schema)
        names = [name for name, _ in single] + [feature.name for feature in view.features]
        self.columns = list(dict.fromkeys(names))
        self.bad_rows: Counter[str] = Counter()
        self._encoder = KeyEncoder(view.keys)
        self._codec = RowCodec(row_schema(view))
        self._as_of_by_key: dict[str, int] = {}

    @property
    def stored(self) -> int:
        """Number of distinct keys so far."""
        return len(self._as_of_by_key)

    def encode(self, batch: pa.RecordBatch) -> EncodedRows:
        """Returns the rows of a batch that are good."""
        good = np.ones(batch.num_rows, np.bool_)
        key_columns = [
            self._good(name, typed_column(batch.column(name), dtype), good, NULL_KEY)
            for name, dtype in self._keys
        ]
        as_of_us = np.full(batch.num_rows, self._load_time_us, np.int64)
        if self._timestamp_column is not None:
            name = self._timestamp_column
            instants = typed_column(batch.column(name), DType.TIMESTAMP)
            as_of_us = self._good(name, instants, good, NULL_TIMESTAMP).values
        features = {
            each.name: self._good(each.name, feature_column(batch.column(each.name), each), good)
            for each in self._features
        }
        rows = np.flatnonzero(good)
        keys = self._encoder.encode([column.values[rows] for column in key_columns])
        rows, keys = self._newest(rows, keys, as_of_us)
        values = {name: column.values[rows] for name, column in features.items()}
        present = {
            name: ~column.nulls[rows] for name, column in features.items() if column.nulls.any()
        }
        encoded = self._codec.encode(values, present, as_of_us[rows])
        left = self._small_enough(keys, encoded, rows)
        if len(left) < len(rows):
            values = {name: column[left] for name, column in values.items()}
            present = {name: mask[left] for name, mask in present.items()}
        return EncodedRows(keys, encoded, as_of_us[rows][left], values, present)

    def _good(
        self, name: str, column: TypedColumn, good: NDArray[np.bool_], null_reason: str = ""
    ) -> TypedColumn:
        """Returns a column, and takes its bad rows out of `good`; each counts once."""
        for reason, rows in column.bad.items():
            self._refuse(f"{name}: {reason}", rows, good, name)
        if null_reason:
            self._refuse(null_reason, column.nulls, good, name)
        return column

    def _refuse(
        self, reason: str, rows: NDArray[np.bool_], good: NDArray[np.bool_], column: str
    ) -> None:
        refused = np.flatnonzero(rows & good)
        if len(refused):
            self._count(reason, refused.tolist(), column)
            good &= ~rows

    def _count(self, reason: str, places: Sequence[int], column: str | None = None) -> None:
        self.bad_rows[reason] += len(places)
        if self._on_refused is not None:
            self._on_refused(reason, places, column)

    def _newest(
        self, rows: NDArray[np.intp], keys: Sequence[str], as_of_us: Array
    ) -> tuple[NDArray[np.intp], list[str]]:
        seen = self._as_of_by_key
        kept: dict[str, int] = {}
        duplicates: list[int] = []
        for row, key, as_of in zip(rows.tolist(), keys, as_of_us[rows].tolist(), strict=True):
            before = seen.get(key)
            if before is not None:
                duplicates.append(row)
                if as_of <= before:
                    continue
            seen[key] = as_of
            kept[key] = row
        if duplicates:
            self._count(DUPLICATE_KEY, duplicates)
        return np.array(list(kept.values()), np.intp), list(kept)

    def _small_enough(
        self, keys: list[str], encoded: list[bytes], rows: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """Takes rows that are too large out of `keys` and `encoded`; returns the places left."""
        if max(map(len, encoded), default=0) <= MAX_ROW_BYTES:
            return np.arange(len(encoded))
        too_large = [place for place, row in enumerate(encoded) if len(row) > MAX_ROW_BYTES]
        self._count(TOO_LARGE, rows[too_large].tolist())
        for place in reversed(too_large):
            del self._as_of_by_key[keys[place]], keys[place], encoded[place]
        return np.delete(np.arange(len(rows)), too_large)


def _check_columns(view: FeatureView, single: Mapping[str, DType], schema: Any) -> None:
    needed = [
        (name, dtype.value, partial(can_convert, dtype=dtype)) for name, dtype in single.items()
    ]
    needed += [
        (each.name, described(each), partial(can_hold, feature=each)) for each in view.features
    ]
    others = sorted(set(schema.names) - {name for name, _, _ in needed})
    problems = []
    for name, expected, can_be in needed:
        place = schema.get_field_index(name)
        if schema.names.count(name) > 1:
            problems.append(f"column {name!r} is there more than once")
        elif place < 0:
            hint = nearest(name, others)
            suggestion = f"; did you mean its column {hint!r}?" if hint else ""
            problems.append(f"no column {name!r}{suggestion}")
        elif not can_be(schema.field(place).type):
            found = schema.field(place).type
            problems.append(f"column {name!r} is of type {found}, expected {expected}")
    if problems:
        listed = "\n".join(f"  {problem}" for problem in dict.fromkeys(problems))
        raise LoadFailed(f"it does not fit view {view.view!r}:\n{listed}")
