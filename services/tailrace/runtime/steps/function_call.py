"""Calls of user functions: guarded, checked, and with a bad row kept from the others."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import UserFunctionFailed
from tailrace.runtime.pipeline.functions import UserFunction
from tailrace.runtime.pipeline.ingest_steps import FunctionStep
from tailrace.runtime.steps.function_output import FunctionOutputs, checked_outputs
from tailrace.runtime.steps.step_table import StepColumn, StepTable

# Bounds what a function that always fails can cost: six halvings of the rows.
MAX_ISOLATING_CALLS = 63

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """What one call made: the rows it was given, and its outputs for them."""

    rows: NDArray[np.intp]
    outputs: FunctionOutputs


class FunctionCallStep:
    """Runs one user function over columns.

    The function gets read-only arrays. In floats a null is NaN; the rows in which any other
    input is null are kept from the function, and its outputs are null there. A row is only
    handed over while it is well, so the number of rows differs from call to call.

    Where a function raises, it is called again on halves of the rows, so that the rows it
    cannot work on fail alone. A result of the wrong names, shape or type fails all rows: it
    says that the function is at fault, not a row.
    """

    def __init__(self, step: FunctionStep, function: UserFunction) -> None:
        """Keeps the step and the function that it names."""
        self._step = step
        self._function = function

    def run(self, table: StepTable) -> None:
        """Puts the function's output columns into the table."""
        try:
            self._run(table)
        except UserFunctionFailed as error:
            _log.error(
                "user function is unusable",
                **{names.FUNCTION: self._step.function},
                exc_info=error,
            )
            table.fail(np.ones(table.rows, dtype=np.bool_), error)

    def _run(self, table: StepTable) -> None:
        columns = {name: table.columns[name] for name in self._step.inputs}
        present = _rows_present(columns.values())
        if present is not None:
            columns = {name: column.take(present) for name, column in columns.items()}
        arrays = {name: _read_only(column.values) for name, column in columns.items()}
        raised: BaseException | None = None
        if present is None:
            # Nearly always this is all there is to it.
            try:
                result = self._function(**arrays)
            except (Exception, SystemExit) as error:  # user code may raise anything
                raised = error
            else:
                self._take(checked_outputs(self._step, result, table.rows), table)
                return
        rows = table.rows if present is None else len(present)
        made, failure = self._call_isolating(arrays, rows, raised)
        reached = np.arange(table.rows) if present is None else present
        table.columns.update(self._scattered(table.rows, reached, made))
        failed = {row: failure for row in reached.tolist() if failure is not None}
        for part in made:
            for place, row in enumerate(reached[part.rows].tolist()):
                failed.pop(row, None)
                if part.outputs.unfit is not None and part.outputs.unfit[place]:
                    failed[row] = self._unfit()
        if failed:
            table.fail_each(failed.items())

    def _take(self, outputs: FunctionOutputs, table: StepTable) -> None:
        table.columns.update(outputs.columns)
        if outputs.unfit is not None:
            table.fail(outputs.unfit, self._unfit())

    def _call_isolating(
        self, arrays: dict[str, Array], rows: int, raised: BaseException | None
    ) -> tuple[list[_Made], UserFunctionFailed | None]:
        groups = deque([np.arange(rows)] if rows else [])
        made: list[_Made] = []
        first_error: BaseException | None = None
        failed_rows = calls = 0
        while groups:
            group = groups.popleft()
            whole = len(group) == rows
            inputs = arrays if whole else {name: values[group] for name, values in arrays.items()}
            calls += 1
            try:
                if whole and raised is not None:
                    raise raised
                result = self._function(**inputs)
            except (Exception, SystemExit) as error:  # user code may raise anything
                first_error = first_error or error
                half = len(group) // 2
                if half and calls + len(groups) + 2 <= MAX_ISOLATING_CALLS:
                    groups += [group[:half], group[half:]]
                else:
                    failed_rows += len(group)
                continue
            made.append(_Made(group, checked_outputs(self._step, result, len(group))))
        if first_error is None:
            return made, None
        return made, self._report(first_error, failed_rows, rows)

    def _report(self, error: BaseException, failed_rows: int, rows: int) -> UserFunctionFailed:
        error_id = uuid.uuid4().hex
        _log.error(
            "user function failed",
            **{
                names.ERROR_ID: error_id,
                names.FUNCTION: self._step.function,
                names.ROWS: rows,
                names.FAILED_ROWS: failed_rows,
            },
            exc_info=error,
        )
        return UserFunctionFailed(
            f"user function {self._step.function} raised {type(error).__name__}; "
            f"the log has the rest under {error_id}"
        )

    def _unfit(self) -> UserFunctionFailed:
        return UserFunctionFailed(
            f"user function {self._step.function} returned a number that its type cannot hold"
        )

    def _scattered(
        self, rows: int, reached: NDArray[np.intp], made: list[_Made]
    ) -> dict[str, StepColumn]:
        scattered = {}
        for output in self._step.outputs:
            parts = [part.outputs.columns[output.name] for part in made]
            values = _nulls(output.dtype, (rows, *output.shape))
            valid = np.zeros(rows, dtype=np.bool_)
            for where, part in zip(made, parts, strict=True):
                places = reached[where.rows]
                values[places] = part.values
                valid[places] = True if part.valid is None else part.valid
            scattered[output.name] = StepColumn(output.dtype, values, valid)
        return scattered


def _rows_present(columns: Iterable[StepColumn]) -> NDArray[np.intp] | None:
    masks = [
        column.valid
        for column in columns
        if column.valid is not None and not column.dtype.is_floating
    ]
    return np.flatnonzero(np.logical_and.reduce(masks)) if masks else None


def _read_only(values: Array) -> Array:
    view = values.view()
    view.flags.writeable = False
    return view


def _nulls(dtype: DType, shape: tuple[int, ...]) -> Array:
    if dtype.is_ragged:
        return np.full(shape, "" if dtype is DType.STRING else b"", dtype=object)
    return np.full(shape, np.nan if dtype.is_floating else 0, dtype.numpy)
