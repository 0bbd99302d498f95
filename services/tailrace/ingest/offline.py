"""The ingest hop over whole tables, without requests: what training reads.

Rules, steps and emission are those of the service, so that a model is trained on the very
columns that it is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.ingest.compile import compile_ingest
from tailrace.ingest.field_rules import Failures, FieldRule
from tailrace.ingest.list_rule import ListRule
from tailrace.runtime.columns import Array, Columns, DType
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.pipeline.column_kind import length_column
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.steps.step_table import StepColumn, StepTable

MAX_EXACT_DOUBLE = 2.0**53


class BadRow(ValueError):
    """A row of a table that the service would refuse.

    Attributes:
        row: its index.
        error: what the service would answer.
    """

    def __init__(self, row: int, error: TailraceError) -> None:
        """Keeps row and error."""
        super().__init__(f"row {row}: {error.message}")
        self.row = row
        self.error = error


class BadTable(ValueError):
    """A table whose columns are not those of the request schema."""


def ingest_columns(pipeline: Pipeline, table: Mapping[str, Sequence[Any] | Array]) -> Columns:
    """Returns the pipeline's ingest columns, `pipeline.ingest_layout`, for a table of requests.

    Args:
        pipeline: compiled from its file.
        table: by request field, one value per row: text as `str`, bytes, whole numbers, floats,
            bools, timestamps as int64 microseconds since 1970 in UTC or as datetime64 in UTC,
            tensors as arrays [rows, ...], lists as lists or arrays of one dimension. None, NaN
            and NaT stand for a missing value; a field that is left out is missing in every row.

    Raises:
        BadTable: an unknown field, columns of different lengths, or values of the wrong type.
        BadRow: the first row that the service would refuse.
        SpecError: the pipeline cannot be served.
    """
    compiled = compile_ingest(pipeline)
    rows = _count_rows(table, [rule.name for rule in compiled.rules])
    failures: Failures = {}
    steps_table = StepTable(rows, np.arange(rows))
    for rule in compiled.rules:
        if isinstance(rule, ListRule):
            lists = _read_lists(rule, table.get(rule.name), rows, failures)
            values, lengths = rule.padded(lists, failures)
            steps_table.columns[rule.name] = StepColumn(rule.dtype, values)
            steps_table.columns[length_column(rule.name)] = StepColumn(DType.INT64, lengths)
            continue
        values, missing = _read(rule, table.get(rule.name), rows)
        steps_table.columns[rule.name] = rule.column(values, missing.tolist(), failures)
    if not failures:
        columns = compiled.transform(steps_table)
        failures = steps_table.failures
    if failures:
        row = min(failures)
        raise BadRow(row, failures[row])
    return columns


def _count_rows(table: Mapping[str, Sequence[Any] | Array], names: Sequence[str]) -> int:
    for name in table:
        if name not in names:
            suggestion = nearest(str(name), list(names))
            hint = f"; did you mean {suggestion!r}?" if suggestion else ""
            raise BadTable(f"unknown field {name!r}{hint}")
    lengths = {name: len(values) for name, values in table.items()}
    if not lengths or min(lengths.values()) == 0:
        raise BadTable("a table without rows")
    if len(set(lengths.values())) > 1:
        raise BadTable(f"columns of different lengths: {lengths}")
    return next(iter(lengths.values()))


def _read(
    rule: FieldRule, column: Sequence[Any] | Array | None, rows: int
) -> tuple[Array, NDArray[np.intp]]:
    typed = np.full((rows, *rule.shape), rule.blank, dtype=rule.dtype.numpy)
    if column is None:
        return typed, np.arange(rows)
    values = np.asarray(column)
    if values.shape != typed.shape:
        raise BadTable(f"field {rule.name!r}: shape {values.shape}, expected {typed.shape}")
    missing = _missing(values)
    if rule.shape and missing.any():
        raise BadTable(f"field {rule.name!r}: None or NaN in a tensor")
    present = values[~missing]
    typed[~missing] = _present_values(rule, present)
    return typed, np.flatnonzero(missing)


def _read_lists(
    rule: ListRule, column: Sequence[Any] | Array | None, rows: int, failures: Failures
) -> list[Array]:
    """Returns the list of every row, in the column's type."""
    empty = np.empty(0, rule.dtype.numpy)
    lists = []
    for row, cell in enumerate([None] * rows if column is None else column):
        is_list = isinstance(cell, list | tuple | np.ndarray)
        if not is_list and not (cell is None or cell != cell):
            raise _wrong_type(rule, f"{type(cell).__name__} in row {row}, not a list")
        if not is_list and rule.required:
            failures.setdefault(row, rule.error("found nothing, but it is required"))
        items = np.asarray(cell if is_list else [], None if is_list and len(cell) else empty.dtype)
        if items.ndim != 1:
            raise _wrong_type(rule, f"{items.ndim} dimensions in row {row}")
        if len(items) > rule.max_items:
            found = f"found {len(items)} items, expected at most {rule.max_items}"
            failures.setdefault(row, rule.error(found))
            items = empty
        lists.append(_present_values(rule, items) if len(items) else empty)
    return lists


def _missing(values: Array) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "M":
        return np.isnat(values)
    if values.dtype == object:
        # NaN and NaT differ from themselves.
        flat = [value is None or bool(value != value) for value in values.ravel().tolist()]
        return np.array(flat, dtype=np.bool_).reshape(values.shape)
    return np.zeros(values.shape, dtype=np.bool_)


def _present_values(rule: FieldRule, values: Array) -> Array:
    """Returns values in the column's type, which may be what the service takes and no more."""
    if rule.dtype.is_ragged:
        wanted = str if rule.dtype is DType.STRING else bytes
        elements = values.astype(object)
        strange = {type(value).__name__ for value in elements.tolist() if type(value) is not wanted}
        if strange:
            raise _wrong_type(rule, sorted(strange)[0])
        return elements
    if values.dtype == object:
        values = np.array(values.tolist(), dtype=None if len(values) else rule.dtype.numpy)
    if rule.dtype is DType.TIMESTAMP and values.dtype.kind == "M":
        return values.astype("M8[us]").astype(np.int64)
    is_whole_double = rule.dtype is DType.FLOAT64 and values.dtype.kind in "iu"
    if not is_whole_double and not np.can_cast(values.dtype, rule.dtype.numpy, "safe"):
        raise _wrong_type(rule, str(values.dtype))
    if rule.dtype is not DType.BOOL and values.dtype.kind == "b":
        raise _wrong_type(rule, "bool")
    typed: Array = values.astype(rule.dtype.numpy)
    if is_whole_double:
        large = np.flatnonzero(np.abs(typed) >= MAX_EXACT_DOUBLE)
        if [int(value) for value in typed[large].tolist()] != values[large].tolist():
            raise _wrong_type(rule, "an integer that no double equals")
    return typed


def _wrong_type(rule: FieldRule, found: str) -> BadTable:
    return BadTable(f"field {rule.name!r}: found {found}, expected {rule.dtype.value}")
