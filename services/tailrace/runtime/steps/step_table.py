"""The columns that steps work on, with nulls, and the rows that have failed on the way.

Null in, null out: a null stays null through every step, until a `fill` ends it. A null holds
NaN, 0, False, "" or b"" by type, so that arithmetic over a column needs no branches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import TailraceError

Mask = NDArray[np.bool_]


class Step(Protocol):
    """One step of a pipeline, compiled."""

    def run(self, table: StepTable) -> None:
        """Puts the columns that the step makes into the table, and fails its bad rows."""
        ...


@dataclass(slots=True)
class StepColumn:
    """One column. Steps never write into its arrays: they may be shared.

    Attributes:
        dtype: type of every element.
        values: shape [rows, ...], numpy type `dtype.numpy`.
        valid: bool [rows], False where the value is null; None if none is.
    """

    dtype: DType
    values: Array
    valid: Mask | None = None

    def take(self, rows: NDArray[np.intp]) -> StepColumn:
        """Returns the column of only these rows, in this order."""
        valid = None if self.valid is None else self.valid[rows]
        return StepColumn(self.dtype, self.values[rows], valid)

    def missing(self) -> Mask | None:
        """Returns where there is no value, bool [rows] or the shape of vectors; None if nowhere.

        NaN counts as no value.
        """
        if self.dtype.is_floating:
            missing = np.isnan(self.values)
            return missing if missing.any() else None
        return None if self.valid is None else ~self.valid


@dataclass(frozen=True, slots=True)
class Blame:
    """Whose fault it is when a column holds a bad value.

    Attributes:
        error: type of the error.
        field: path of the request field at fault, or of the column.
    """

    error: type[TailraceError]
    field: str

    def because(self, message: str) -> TailraceError:
        """Returns the error with this message."""
        return self.error(message, field=self.field)


@dataclass(slots=True)
class StepTable:
    """The rows of a batch that are still well, as columns.

    Attributes:
        batch_rows: number of rows of the batch, failed ones included.
        places: index in the batch of each row of the table, ascending.
        columns: the columns by name, `len(places)` rows each.
        failures: the error of each row that failed here, by index in the batch.
    """

    batch_rows: int
    places: NDArray[np.intp]
    columns: dict[str, StepColumn] = field(default_factory=dict)
    failures: dict[int, TailraceError] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows that are still well."""
        return len(self.places)

    @property
    def is_whole(self) -> bool:
        """Whether every row of the batch is here."""
        return len(self.places) == self.batch_rows

    def fail(self, bad: Mask, error: TailraceError) -> None:
        """Fails the rows where `bad` (bool [rows]) is true, and drops them from all columns."""
        self.fail_each((row, error) for row in np.flatnonzero(bad).tolist())

    def fail_each(self, errors: Iterable[tuple[int, TailraceError]]) -> None:
        """Fails rows of the table, each with its own error, and drops them from all columns."""
        kept = np.ones(self.rows, dtype=np.bool_)
        for row, error in errors:
            kept[row] = False
            self.failures.setdefault(int(self.places[row]), error)
        rows = np.flatnonzero(kept)
        self.places = self.places[rows]
        self.columns = {name: column.take(rows) for name, column in self.columns.items()}
