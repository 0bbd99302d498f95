"""Checks of what a user function returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import UserFunctionFailed
from tailrace.runtime.pipeline.ingest_steps import FunctionOutput, FunctionStep
from tailrace.runtime.steps.conversion import any_in_row, convert
from tailrace.runtime.steps.step_table import Mask, StepColumn
from tailrace.runtime.timestamps import MAX_TIMESTAMP_US, MIN_TIMESTAMP_US


@dataclass(frozen=True, slots=True)
class FunctionOutputs:
    """What a call of a user function made.

    Attributes:
        columns: by output name.
        unfit: bool [rows], the rows with a number that the declared type cannot hold, infinity
            included; None if there is none.
    """

    columns: dict[str, StepColumn]
    unfit: Mask | None


def checked_outputs(step: FunctionStep, result: object, rows: int) -> FunctionOutputs:
    """Returns the function's outputs as columns of the declared types.

    Numbers are converted within their kind, as numpy's `same_kind` has it: float64 may be
    returned for float32, and integers for floats, but not floats for integers. None in an
    output of strings or bytes is a null.

    Args:
        step: what the function should return.
        result: what it returned.
        rows: number of rows that it was given.

    Raises:
        UserFunctionFailed: wrong names, shape or type; says what was found and expected.
    """
    names = [output.name for output in step.outputs]
    if not isinstance(result, Mapping):
        if len(names) > 1:
            raise _unusable(step, type(result).__name__, f"a mapping with {', '.join(names)}")
        result = {names[0]: result}
    if set(result) != set(names):
        found = ", ".join(sorted(str(name)[:64] for name in result))
        raise _unusable(step, f"outputs {found}", ", ".join(names))
    columns = {}
    unfit: Mask | None = None
    for output in step.outputs:
        array = _array(step, output, result[output.name], rows)
        if output.dtype.is_ragged:
            columns[output.name] = _text_column(step, output, array)
            continue
        columns[output.name], bad = _number_column(step, output, array)
        if bad is not None:
            unfit = bad if unfit is None else unfit | bad
    return FunctionOutputs(columns, unfit)


def _array(step: FunctionStep, output: FunctionOutput, value: object, rows: int) -> Array:
    try:
        array: Array = np.asarray(value, dtype=object if output.dtype.is_ragged else None)
    except Exception as error:  # the value may be of any class
        raise _unusable(step, type(value).__name__, f"an array for {output.name!r}") from error
    expected = (rows, *output.shape)
    if array.shape != expected:
        raise _unusable(
            step, f"{output.name!r} of shape {list(array.shape)}", f"shape {list(expected)}"
        )
    return array


def _text_column(step: FunctionStep, output: FunctionOutput, array: Array) -> StepColumn:
    wanted, blank = (str, "") if output.dtype is DType.STRING else (bytes, b"")
    elements = array.ravel().tolist()
    if all(type(element) is wanted for element in elements):
        return StepColumn(output.dtype, array)
    for element in elements:
        if element is not None and not isinstance(element, wanted):
            found = f"{output.name!r} with a {type(element).__name__}"
            raise _unusable(step, found, output.dtype.value)
    missing = np.array([element is None for element in elements], np.bool_).reshape(array.shape)
    return StepColumn(output.dtype, np.where(missing, blank, array), ~any_in_row(missing))


def _number_column(
    step: FunctionStep, output: FunctionOutput, array: Array
) -> tuple[StepColumn, Mask | None]:
    target = output.dtype
    if array.dtype == target.numpy and target is not DType.TIMESTAMP:
        return StepColumn(target, array), _infinite_rows(array) if target.is_floating else None
    if not np.can_cast(array.dtype, target.numpy, "same_kind"):
        raise _unusable(step, f"{output.name!r} of type {array.dtype}", target.value)
    if target is DType.TIMESTAMP:
        instants = array.astype(np.int64)
        beyond = (instants < MIN_TIMESTAMP_US) | (instants > MAX_TIMESTAMP_US)
        return StepColumn(target, instants), any_in_row(beyond) if beyond.any() else None
    try:
        source = DType(array.dtype.name)
    except ValueError:
        raise _unusable(step, f"{output.name!r} of type {array.dtype}", target.value) from None
    native = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return convert(StepColumn(source, native), target)


def _infinite_rows(array: Array) -> Mask | None:
    infinite = np.isinf(array)
    return any_in_row(infinite) if infinite.any() else None


def _unusable(step: FunctionStep, found: str, expected: str) -> UserFunctionFailed:
    return UserFunctionFailed(
        f"user function {step.function} returned {found}, expected {expected}"
    )
