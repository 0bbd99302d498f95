"""The types of the columns while steps are compiled, and what is wrong with the steps."""

from __future__ import annotations

from collections.abc import Set

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.problem import Problem
from tailrace.runtime.steps.conversion import NUMBERS, NUMBERS_AND_BOOL

Shape = tuple[int, ...]


class StepRefused(Exception):
    """A step that cannot work on its columns.

    Attributes:
        problems: what is wrong with it.
    """

    def __init__(self, problems: list[Problem]) -> None:
        """Keeps the problems."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ColumnTypes:
    """Knows the columns that the steps compiled so far leave behind.

    Attributes:
        path: where in the file the step that is being compiled stands.
    """

    def __init__(self) -> None:
        """Starts without columns."""
        self.path = ""
        self._columns: dict[str, tuple[DType, Shape | None]] = {}

    def add(self, name: str, dtype: DType, shape: Shape | None) -> None:
        """Notes a column and the shape of one row of it, None if that is not known."""
        self._columns[name] = (dtype, shape)

    def dtype(self, name: str) -> DType:
        """Returns the type of a column. Raises KeyError."""
        return self._columns[name][0]

    def shape(self, name: str) -> Shape | None:
        """Returns the shape of one row of a column, None if that is not known."""
        return self._columns[name][1]

    def refused(self, part: str, found: str, expected: str) -> StepRefused:
        """Returns the error that a part of the step, such as `dtype`, is wrong."""
        return StepRefused([Problem(f"{self.path}.{part}", found, expected)])

    def require_numbers(self, name: str, target: DType) -> None:
        """Checks that a step can compute `target` from a column. Raises StepRefused."""
        source = self.dtype(name)
        if source not in NUMBERS_AND_BOOL:
            found = f"{name!r} of type {source.value}"
            raise self.refused("input", found, "a column of numbers or bool")
        if target not in NUMBERS:
            raise self.refused("dtype", target.value, "a type of numbers")

    def require_scalar(self, name: str, dtypes: Set[DType]) -> None:
        """Checks that a column holds one value of these types per row. Raises StepRefused."""
        dtype, shape = self._columns[name]
        if dtype not in dtypes:
            names = ", ".join(sorted(allowed.value for allowed in dtypes))
            found = f"{name!r} of type {dtype.value}"
            raise self.refused("input", found, f"a column of type {names}")
        if shape:
            found = f"{name!r} with vectors of shape {list(shape)}"
            raise self.refused("input", found, "one value a row")
