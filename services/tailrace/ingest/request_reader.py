"""Reads requests, as they came, into a table of columns: one pass per field over the rows."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tailrace.ingest.field_rules import Failures, FieldRule, listed
from tailrace.ingest.list_rule import ListReader, ListRule
from tailrace.ingest.value_readers import ValueReader, value_reader
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import InvalidField
from tailrace.runtime.pipeline.column_kind import length_column
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.steps.step_table import StepColumn, StepTable
from tailrace.v1 import tensor_pb2

Request = Mapping[str, tensor_pb2.Value]

# Comparing two names takes up to 16 µs: this many comparisons per batch, so that a hostile one
# cannot hold up the others; and only the start of a name, which no real one exceeds.
MAX_COMPARISONS = 1000
MAX_NAME = 128


class RequestReader:
    """Checks the requests of one pipeline against its schema."""

    def __init__(self, rules: Sequence[FieldRule]) -> None:
        """Prepares to read the fields that have rules."""
        self._readers: list[tuple[FieldRule, ValueReader | ListReader]] = [
            (rule, ListReader(rule) if isinstance(rule, ListRule) else value_reader(rule))
            for rule in rules
        ]
        self._names = [rule.name for rule in rules]
        self._known = frozenset(self._names)
        self._max_suggestions = max(1, MAX_COMPARISONS // len(self._names))
        self._nearest = functools.lru_cache(256)(self._find_nearest)

    def read(
        self, requests: Sequence[Request], places: NDArray[np.intp], batch_rows: int
    ) -> StepTable:
        """Returns the good requests as columns, and the errors of the bad ones.

        An unknown field is told first: it is often why another is missing.

        Args:
            requests: the rows to read.
            places: index in the batch of each of them.
            batch_rows: number of rows of the batch.
        """
        table = StepTable(batch_rows, places)
        if not requests:
            return table
        failures: Failures = {}
        absent = [0] * len(requests)
        for rule, read in self._readers:
            if isinstance(read, ListReader):
                lists, lengths = read.read(requests, absent, failures)
                table.columns[rule.name] = StepColumn(rule.dtype, lists)
                table.columns[length_column(rule.name)] = StepColumn(DType.INT64, lengths)
                continue
            values = read.quick(requests)
            if values is not None:
                table.columns[rule.name] = StepColumn(rule.dtype, values)
                continue
            values, missing = read(requests, absent, failures)
            table.columns[rule.name] = rule.column(values, missing, failures)
        failures |= self._unknown_fields(requests, absent)
        if failures:
            table.fail_each(failures.items())
        return table

    def _unknown_fields(self, requests: Sequence[Request], absent: list[int]) -> Failures:
        known = len(self._known)
        failures: Failures = {}
        for row, fields in enumerate(requests):
            if len(fields) + absent[row] != known:
                suggest = len(failures) < self._max_suggestions
                failures[row] = self._unknown_field(fields, suggest)
        return failures

    def _unknown_field(self, fields: Request, suggest: bool) -> InvalidField:
        # At most as many names are looked at as the schema has, and one more.
        name = next(name for name in fields if name not in self._known)[:MAX_NAME]
        suggestion = self._nearest(name) if suggest else ""
        expected = f"did you mean {suggestion!r}?" if suggestion else listed(self._names)
        return InvalidField(f"unknown field {name!r}, {expected}", field=f"fields.{name}")

    def _find_nearest(self, name: str) -> str:
        return nearest(name, self._names)
