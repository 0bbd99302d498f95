"""Steps over numbers: standardise, log, bucketise, cast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.steps.conversion import as_float64, put_converted
from tailrace.runtime.steps.elementwise import ElementwiseStep
from tailrace.runtime.steps.step_table import Blame, StepColumn, StepTable


def standardise(
    input_name: str, output: str, dtype: DType, mean: float, stddev: float, blame: Blame
) -> ElementwiseStep:
    """Returns the step (x - mean) / stddev. Null and NaN stay null."""
    return ElementwiseStep(input_name, output, dtype, lambda x: (x - mean) / stddev, blame)


def natural_log(
    input_name: str, output: str, dtype: DType, offset: float, blame: Blame
) -> ElementwiseStep:
    """Returns the step ln(x + offset), which fails rows with x at or below -offset.

    Null and NaN stay null.
    """
    return ElementwiseStep(
        input_name,
        output,
        dtype,
        lambda x: np.log(x + offset),
        blame,
        refuse=lambda x: x + offset <= 0,
        expected=f"found a number whose logarithm is not defined, expected one above {-offset:g}",
    )


@dataclass(frozen=True, slots=True)
class Bucketise:
    """Makes the number of boundaries at or below the value. Null and NaN become null."""

    input: str
    output: str
    dtype: DType
    boundaries: Array
    blame: Blame

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        column = table.columns[self.input]
        values = as_float64(column)
        buckets: Array = np.searchsorted(self.boundaries, values, side="right")
        missing = np.isnan(values)
        if missing.any():
            # Through float64, which holds NaN and every index: conversion makes NaN null.
            floats = np.where(missing, np.nan, buckets)
            counted = StepColumn(DType.FLOAT64, floats, column.valid)
        else:
            counted = StepColumn(DType.INT64, buckets.astype(np.int64, copy=False), column.valid)
        put_converted(table, self.output, counted, self.dtype, self.blame)


@dataclass(frozen=True, slots=True)
class Cast:
    """Makes the same values in another type, as `tailrace.runtime.steps.conversion` says.

    Null stays null; NaN becomes null in a type that cannot hold it.
    """

    input: str
    output: str
    dtype: DType
    blame: Blame

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        put_converted(table, self.output, table.columns[self.input], self.dtype, self.blame)
