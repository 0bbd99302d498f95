"""Labels: by threshold, and of the largest scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.steps.conversion import any_in_row
from tailrace.runtime.steps.step_table import Blame, Mask, StepColumn, StepTable


@dataclass(frozen=True, slots=True)
class Threshold:
    """Makes the second label where the value is at or above the threshold, else the first.

    The threshold counts in the column's own precision: 0.7 in float32 is at a threshold of
    0.7. NaN fails its row; null stays null.
    """

    input: str
    output: str
    threshold: float
    labels: tuple[str, str]
    blame: Blame

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        _fail_nan(table, self.input, self.blame)
        column = table.columns[self.input]
        is_float = column.dtype.is_floating
        limit = (column.values.dtype if is_float else np.dtype(np.float64)).type(self.threshold)
        below, above = self.labels
        labels = np.full(column.values.shape, below, dtype=object)
        labels[column.values >= limit] = above
        if column.valid is not None:
            labels[~column.valid] = ""
        table.columns[self.output] = StepColumn(DType.STRING, labels, column.valid)


@dataclass(frozen=True, slots=True)
class TopK:
    """Makes the labels and scores of the k largest elements of a vector, largest first.

    Of equal scores the earlier comes first. NaN fails its row; null stays null.

    Attributes:
        labels: object [classes].
    """

    input: str
    output: str
    k: int
    labels: Array
    blame: Blame

    def run(self, table: StepTable) -> None:
        """Puts the two output columns into the table."""
        classes = len(self.labels)
        column = table.columns[self.input]
        if column.values.shape[1:] != (classes,):
            message = f"found shape {list(column.values.shape[1:])}, expected {classes} scores"
            everywhere = np.ones(table.rows, dtype=np.bool_)
            table.fail(everywhere, self.blame.because(f"column {self.input!r}: {message}"))
            return
        _fail_nan(table, self.input, self.blame)
        column = table.columns[self.input]
        values = column.values
        if column.valid is not None:
            values = np.where(column.valid[:, np.newaxis], values, 0)
        best = largest(values, self.k)
        labels = self.labels[best]
        scores = np.take_along_axis(values, best, axis=1).astype(np.float32)
        if column.valid is not None:
            labels[~column.valid] = ""
            scores[~column.valid] = np.nan
        table.columns[f"{self.output}.labels"] = StepColumn(DType.STRING, labels, column.valid)
        table.columns[f"{self.output}.scores"] = StepColumn(DType.FLOAT32, scores, column.valid)


def largest(scores: Array, k: int) -> NDArray[np.intp]:
    """Returns the places of the k largest of each row, int [rows, k], largest first.

    Of equal scores the earlier place comes first.

    Args:
        scores: [rows, classes] without NaN.
        k: at most the number of classes.
    """
    rows = len(scores)
    # Ascending order of the negated scores; float64 holds every score exactly but large int64.
    negated = -scores.astype(np.float64)
    limit = np.partition(negated, k - 1, axis=1)[:, k - 1 : k]
    better, equal = negated < limit, negated == limit
    room = k - better.sum(axis=1, keepdims=True)
    chosen = better | (equal & (equal.cumsum(axis=1) <= room))
    places = np.nonzero(chosen)[1].reshape(rows, k)
    order = np.argsort(np.take_along_axis(negated, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def _fail_nan(table: StepTable, name: str, blame: Blame) -> None:
    column = table.columns[name]
    if not column.dtype.is_floating:
        return
    bad: Mask = any_in_row(np.isnan(column.values))
    if column.valid is not None:
        bad = bad & column.valid
    if bad.any():
        table.fail(bad, blame.because(f"column {name!r}: found NaN, expected a number"))
