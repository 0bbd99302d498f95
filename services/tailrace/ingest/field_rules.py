"""What a request field must hold, checked over a whole column of values at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import InvalidField, TailraceError
from tailrace.runtime.steps.conversion import any_in_row
from tailrace.runtime.steps.step_table import Mask, StepColumn

MAX_LISTED = 20

Failures = dict[int, TailraceError]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What every kind of field has. Messages tell what was expected, never the value found.

    Attributes:
        name: of the field.
        dtype: type of its column.
        required: whether a row without it is bad, if there is no default.
        default: what stands in for a missing value, as an element of the column; or None.
        shape: of one row's value; () for scalars.
    """

    name: str
    dtype: DType
    required: bool = False
    default: Any = None
    shape: tuple[int, ...] = ()

    @property
    def path(self) -> str:
        """Path of the field in a request, for errors."""
        return f"fields.{self.name}"

    @property
    def blank(self) -> Any:
        """What a null holds."""
        if self.dtype is DType.STRING:
            return ""
        if self.dtype is DType.BYTES:
            return b""
        return np.nan if self.dtype.is_floating else 0

    def accepts(self, values: list[Any]) -> bool:
        """Returns whether all of these are good; False where that takes a closer look.

        Args:
            values: of the type's kind, one per row; at least one.
        """
        return True

    def column(self, values: Array, missing: Sequence[int], failures: Failures) -> StepColumn:
        """Returns the values as a column, with defaults in place; tells bad rows in `failures`.

        Args:
            values: [rows, ...] of the column's type, blank in the rows that are missing;
                written into.
            missing: the rows that have no value.
            failures: by row; the first error of a row stays.
        """
        valid: Mask | None = None
        if len(missing):
            valid = self._fill_missing(values, missing, failures)
        for bad, message in self.refusals(values):
            if not bad.any():
                continue
            for row in np.flatnonzero(any_in_row(bad)).tolist():
                if valid is None or valid[row]:
                    failures.setdefault(row, self.error(message))
        return StepColumn(self.dtype, values, valid)

    def refusals(self, values: Array) -> Iterator[tuple[Mask, str]]:
        """Yields which values are bad, and what was found and expected, check by check.

        Blanks may be told as bad, too. Here every value of the type is good.
        """
        yield from ()

    def error(self, message: str) -> InvalidField:
        """Returns an error that names this field."""
        return InvalidField(f"field {self.name!r}: {message}", field=self.path)

    def _fill_missing(
        self, values: Array, missing: Sequence[int], failures: Failures
    ) -> Mask | None:
        rows = np.asarray(missing, dtype=np.intp)
        if self.default is not None:
            values[rows] = self.default
            return None
        values[rows] = self.blank
        if self.required:
            for row in missing:
                failures.setdefault(row, self.error("found nothing, but it is required"))
        valid = np.ones(len(values), dtype=np.bool_)
        valid[rows] = False
        return valid


@dataclass(frozen=True, slots=True)
class TextRule(FieldRule):
    """Strings and bytes: a greatest length, in characters or bytes, and a set of values."""

    max_length: int = 0
    allowed: frozenset[str] | None = None

    def accepts(self, values: list[Any]) -> bool:
        """Returns whether all of these are good."""
        return max(map(len, values)) <= self.max_length and (
            self.allowed is None or self.allowed.issuperset(values)
        )

    def refusals(self, values: Array) -> Iterator[tuple[Mask, str]]:
        """Yields which values are too long or not allowed."""
        elements = values.tolist()
        if max(map(len, elements), default=0) > self.max_length:
            unit = "characters" if self.dtype is DType.STRING else "bytes"
            bad = np.array([len(element) > self.max_length for element in elements], np.bool_)
            yield bad, f"found too long a value, expected at most {self.max_length} {unit}"
        if self.allowed is not None and not self.allowed.issuperset(elements):
            bad = np.array([element not in self.allowed for element in elements], np.bool_)
            yield bad, f"found text that is not allowed, expected {listed(sorted(self.allowed))}"


@dataclass(frozen=True, slots=True)
class NumberRule(FieldRule):
    """Numbers and instants: bounds and a set of values; never NaN or infinite.

    Attributes:
        bounds_text: the bounds as a message tells them.
    """

    minimum: int | float | None = None
    maximum: int | float | None = None
    allowed: frozenset[int] | None = None
    bounds_text: str = ""

    def accepts(self, values: list[Any]) -> bool:
        """Returns whether all of these are good; False where that takes a closer look."""
        # One NaN or infinity makes the sum one; so may many large numbers.
        if self.dtype.is_floating and not math.isfinite(sum(values)):
            return False
        return (
            (self.minimum is None or min(values) >= self.minimum)
            and (self.maximum is None or max(values) <= self.maximum)
            and (self.allowed is None or self.allowed.issuperset(values))
        )

    def refusals(self, values: Array) -> Iterator[tuple[Mask, str]]:
        """Yields which values are not finite, out of bounds or not allowed."""
        if self.dtype.is_floating:
            yield ~np.isfinite(values), "found NaN or infinity, expected a finite number"
        if self.minimum is not None:
            yield values < self.minimum, f"found a value too small, expected {self.bounds_text}"
        if self.maximum is not None:
            yield values > self.maximum, f"found a value too large, expected {self.bounds_text}"
        if self.allowed is not None and not self.allowed.issuperset(elements := values.tolist()):
            bad = np.array([element not in self.allowed for element in elements], np.bool_)
            expected = listed([str(value) for value in sorted(self.allowed)])
            yield bad, f"found a number that is not allowed, expected {expected}"


def listed(values: Sequence[str]) -> str:
    """Returns `one of: a, b, c`, cut off after some values."""
    shown = ", ".join(values[:MAX_LISTED])
    more = len(values) - MAX_LISTED
    return f"one of: {shown}" + (f" and {more} more" if more > 0 else "")
