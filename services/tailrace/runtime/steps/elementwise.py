"""Steps that treat every element of one numeric column alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.steps.conversion import INTEGERS, any_in_row, as_float64, put_converted
from tailrace.runtime.steps.step_table import Blame, Mask, StepColumn, StepTable


@dataclass(frozen=True, slots=True)
class ElementwiseStep:
    """Computes in float64, then converts to the output's type. Nulls stay null.

    Attributes:
        input: column read.
        output: column made.
        dtype: its type.
        compute: from float64 [rows, ...] to float64 [rows, ...]; must map NaN to NaN.
        blame: for bad rows.
        refuse: which elements are bad; None if all are good. NaN must be good.
        expected: what a good element is, for the error.
    """

    input: str
    output: str
    dtype: DType
    compute: Callable[[Array], Array]
    blame: Blame
    refuse: Callable[[Array], Mask] | None = None
    expected: str = ""

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        column = table.columns[self.input]
        values = as_float64(column)
        if self.refuse is not None:
            refused = self.refuse(values)
            if refused.any():
                error = self.blame.because(f"column {self.input!r}: {self.expected}")
                table.fail(any_in_row(refused), error)
                column = table.columns[self.input]
                values = as_float64(column)
        computed = StepColumn(DType.FLOAT64, self.compute(values), column.valid)
        put_converted(table, self.output, computed, self.dtype, self.blame)


@dataclass(frozen=True, slots=True)
class IntegerClipStep:
    """Clips whole numbers as such: float64 would round those beyond 2**53."""

    input: str
    output: str
    dtype: DType
    low: int
    high: int
    blame: Blame

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        column = table.columns[self.input]
        clipped = np.clip(column.values, self.low, self.high)
        valid = column.valid
        if valid is not None:
            # The 0 of a null may lie outside the bounds; it stays the 0 of a null.
            clipped = np.where(valid.reshape(-1, *[1] * (clipped.ndim - 1)), clipped, 0)
        put_converted(
            table, self.output, StepColumn(column.dtype, clipped, valid), self.dtype, self.blame
        )


def clip_step(
    input_name: str,
    output_name: str,
    source: DType,
    target: DType,
    bounds: tuple[float | None, float | None],
    blame: Blame,
) -> ElementwiseStep | IntegerClipStep:
    """Returns the step that limits a column of type `source` to `bounds`, low and high."""
    low = -math.inf if bounds[0] is None else bounds[0]
    high = math.inf if bounds[1] is None else bounds[1]
    if source in INTEGERS and target in INTEGERS:
        limits = np.iinfo(source.numpy)
        floor, ceiling = int(limits.min), int(limits.max)
        whole_low = floor if low <= floor else min(math.ceil(low), ceiling)
        whole_high = ceiling if high >= ceiling else max(math.floor(high), floor)
        return IntegerClipStep(input_name, output_name, target, whole_low, whole_high, blame)
    return ElementwiseStep(
        input_name, output_name, target, lambda values: np.clip(values, low, high), blame
    )
