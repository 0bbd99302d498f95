"""Fill: a value in place of nulls."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.runtime.columns import DType
from tailrace.runtime.steps.conversion import put_converted
from tailrace.runtime.steps.step_table import Blame, StepColumn, StepTable


@dataclass(frozen=True, slots=True)
class Fill:
    """Puts `value` where the input is null or NaN; the output has no nulls.

    The input is converted to the output's type first.
    """

    input: str
    output: str
    dtype: DType
    value: float | int | str | bool
    blame: Blame

    def run(self, table: StepTable) -> None:
        """Puts the output column into the table."""
        put_converted(table, self.output, table.columns[self.input], self.dtype, self.blame)
        column = table.columns[self.output]
        missing = column.missing()
        values = column.values
        if missing is not None:
            values = values.copy()
            values[missing] = self.value
        table.columns[self.output] = StepColumn(self.dtype, values)
