"""What one row of a column holds, as far as a pipeline file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.ingest_steps import FunctionStep, StepBase
from tailrace.runtime.pipeline.model_section import ModelOutput
from tailrace.runtime.pipeline.postprocess_steps import TopKStep
from tailrace.runtime.pipeline.request_schema import RequestSchema
from tailrace.runtime.pipeline.view_plan import ViewPlan

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ColumnKind:
    """Type and shape of a column.

    Attributes:
        dtype: type of its elements.
        row_shape: shape of one row's value: empty for a single value; None if only the data
            says.
        length: of a list, the column that says how many of its elements count; the others fill
            it up. None for what is no list.
    """

    dtype: DType
    row_shape: Shape | None = ()
    length: str | None = None

    @property
    def elements(self) -> int | None:
        """Most elements of a list; None for what is no list."""
        return self.row_shape[0] if self.length is not None and self.row_shape else None


Kinds = Mapping[str, ColumnKind]


def request_kinds(schema: RequestSchema) -> dict[str, ColumnKind]:
    """Returns the columns that hold the request fields, without the lengths of lists."""
    kinds = {}
    for name, field in schema.fields.items():
        elements = field.list_items
        if elements is not None:
            kinds[name] = ColumnKind(field.column_dtype, (elements,), length_column(name))
        else:
            shape = tuple(field.shape) if field.type == "tensor" else ()
            kinds[name] = ColumnKind(field.column_dtype, shape)
    return kinds


def length_column(name: str) -> str:
    """Returns the name of the column that says how many elements a list has."""
    return f"{name}.length"


def with_lengths(kinds: Kinds) -> dict[str, ColumnKind]:
    """Returns the columns, and for each list the column with its length."""
    lengths = {kind.length: ColumnKind(DType.INT64) for kind in kinds.values() if kind.length}
    return {**lengths, **kinds}


def feature_kinds(plans: Sequence[ViewPlan]) -> dict[str, ColumnKind]:
    """Returns the feature columns of some views."""
    kinds = {}
    for plan in plans:
        for column in plan.columns():
            kinds[column.name] = ColumnKind(column.dtype, column.row_shape, plan.length)
    return kinds


def output_kinds(outputs: Sequence[ModelOutput]) -> dict[str, ColumnKind]:
    """Returns the columns that the model makes.

    A model cannot answer with less than one dimension per row: [1] is a single value.
    """
    return {
        output.name: ColumnKind(output.dtype, () if output.shape == [1] else tuple(output.shape))
        for output in outputs
    }


def step_kinds(step: StepBase, known: Kinds) -> dict[str, ColumnKind]:
    """Returns the columns that a step makes of known ones."""
    if isinstance(step, FunctionStep):
        return {
            output.name: ColumnKind(output.dtype, tuple(output.shape)) for output in step.outputs
        }
    read = [known[name] for name in step.input_columns() if name in known]
    shapes = {kind.row_shape for kind in read}
    lengths = {kind.length for kind in read}
    shape = shapes.pop() if len(shapes) == 1 else None
    length = lengths.pop() if len(lengths) == 1 and shape else None
    if isinstance(step, TopKStep):
        shape, length = (step.k,), None
    return {name: ColumnKind(dtype, shape, length) for name, dtype in step.output_columns()}
