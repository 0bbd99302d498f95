"""What the postprocess hop needs of a pipeline, made once when its file is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tailrace.postprocess.step_compiler import StepCompiler
from tailrace.runtime.columns import Array, Columns, DType
from tailrace.runtime.errors import InvalidBatch
from tailrace.runtime.pipeline.plan import BlockLayout, Pipeline
from tailrace.runtime.pipeline.problem import Problem, SpecError
from tailrace.runtime.steps.chain import run_steps
from tailrace.runtime.steps.column_types import ColumnTypes, Shape
from tailrace.runtime.steps.emission import emit
from tailrace.runtime.steps.offload import Abandoned, Pace, never
from tailrace.runtime.steps.step_table import Step, StepColumn, StepTable


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column that must arrive.

    Attributes:
        name: of the column.
        dtype: its type.
        shape: of one row's value, [1] counted as a scalar; None if it is not known.
    """

    name: str
    dtype: DType
    shape: Shape | None

    def read(self, columns: Columns, live: NDArray[np.intp]) -> StepColumn:
        """Returns the live rows of the column. Raises InvalidBatch."""
        if self.name not in columns:
            raise InvalidBatch(f"column {self.name!r} is missing", field="batch.blocks")
        dtype, values = columns.dtype(self.name), columns[self.name]
        if dtype is not self.dtype:
            raise self._refused(f"type {dtype.value}", self.dtype.value)
        values = without_unit_axis(values)
        if self.shape is not None and values.shape[1:] != self.shape:
            raise self._refused(f"shape {list(values.shape[1:])}", f"{list(self.shape)}")
        column = StepColumn(dtype, values, columns.validity(self.name))
        return column if len(live) == columns.rows else column.take(live)

    def _refused(self, found: str, expected: str) -> InvalidBatch:
        message = f"column {self.name!r}: found {found}, expected {expected}"
        return InvalidBatch(message, field="batch.blocks")


@dataclass(frozen=True, slots=True)
class CompiledPostprocess:
    """The postprocess hop of one pipeline version.

    Attributes:
        sources: the columns that must arrive.
        steps: in order.
        outputs: for each field of the prediction, the column that it is read from.
        layout: the blocks of the prediction.
        width: number of values per row that are worked on, for a guess at the work.
        pace: how fast its batches were lately.
    """

    sources: tuple[SourceColumn, ...]
    steps: tuple[Step, ...]
    outputs: Mapping[str, str]
    layout: tuple[BlockLayout, ...]
    width: int
    pace: Pace = field(default_factory=Pace)

    def read(self, columns: Columns, live: NDArray[np.intp]) -> StepTable:
        """Returns the live rows as a table. Raises InvalidBatch."""
        read = {source.name: source.read(columns, live) for source in self.sources}
        return StepTable(columns.rows, live, read)

    def transform(self, table: StepTable, abandoned: Abandoned = never) -> Columns:
        """Runs the steps and returns the prediction; bad rows are told in the table."""
        with np.errstate(all="ignore"):
            if not run_steps(self.steps, table, abandoned):
                return Columns(table.batch_rows)
            table.columns = {name: table.columns[source] for name, source in self.outputs.items()}
            return emit(table, self.layout, {})


def without_unit_axis(values: Array) -> Array:
    """Returns [rows] for values of shape [rows, 1], and any others as they are."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def compile_postprocess(pipeline: Pipeline) -> CompiledPostprocess:
    """Returns the compiled postprocess hop.

    Raises:
        SpecError: a step cannot work on its column; lists every problem.
    """
    problems: list[Problem] = []
    arriving = _arriving_columns(pipeline)
    types = ColumnTypes()
    for source in arriving.values():
        types.add(source.name, source.dtype, source.shape)
    steps = StepCompiler(pipeline, types, problems).compile_all()
    names = [output.name for output in pipeline.spec.postprocess.outputs]
    for place, name in enumerate(names):
        if name in names[:place]:
            path = f"postprocess.outputs[{place}].name"
            problems.append(Problem(path, repr(name), "each name once"))
    if problems:
        raise SpecError(pipeline.file, problems)
    sources = _needed(pipeline, arriving)
    outputs = {output.name: output.source for output in pipeline.spec.postprocess.outputs}
    return CompiledPostprocess(
        sources=sources,
        steps=steps,
        outputs=outputs,
        layout=_layout(outputs, types),
        width=sum(math.prod(source.shape or ()) for source in sources) + len(outputs),
    )


def _arriving_columns(pipeline: Pipeline) -> dict[str, SourceColumn]:
    arriving = {}
    for block in pipeline.ingest_layout:
        # A block of one name may hold vectors.
        shape = () if len(block.names) > 1 else None
        for name in block.names:
            arriving[name] = SourceColumn(name, block.dtype, shape)
    for view in pipeline.views:
        for column in view.columns():
            row_shape = () if column.row_shape == (1,) else column.row_shape
            arriving[column.name] = SourceColumn(column.name, column.dtype, row_shape)
    for output in pipeline.spec.model.outputs:
        known = all(size >= 0 for size in output.shape)
        row_shape = () if output.shape == [1] else tuple(output.shape)
        arriving[output.name] = SourceColumn(
            output.name, output.dtype, row_shape if known else None
        )
    return arriving


def _needed(pipeline: Pipeline, arriving: Mapping[str, SourceColumn]) -> tuple[SourceColumn, ...]:
    made: set[str] = set()
    needed: dict[str, SourceColumn] = {}
    for step in pipeline.spec.postprocess.steps:
        for name in step.input_columns():
            if name not in made:
                needed[name] = arriving[name]
        made.update(name for name, _ in step.output_columns())
    for output in pipeline.spec.postprocess.outputs:
        if output.source not in made:
            needed[output.source] = arriving[output.source]
    return tuple(needed.values())


def _layout(outputs: Mapping[str, str], types: ColumnTypes) -> tuple[BlockLayout, ...]:
    scalars: dict[DType, list[str]] = {}
    vectors = []
    for name, source in outputs.items():
        dtype = types.dtype(source)
        if types.shape(source) == ():
            scalars.setdefault(dtype, []).append(name)
        else:
            vectors.append(BlockLayout(dtype, (name,)))
    return (*(BlockLayout(dtype, tuple(names)) for dtype, names in scalars.items()), *vectors)
