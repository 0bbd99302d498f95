"""What the ingest hop needs of a pipeline, made once when its file is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tailrace.ingest.field_rules import FieldRule
from tailrace.ingest.request_reader import RequestReader
from tailrace.ingest.schema_rules import schema_rules
from tailrace.ingest.step_compiler import StepCompiler
from tailrace.runtime.columns import Columns
from tailrace.runtime.pipeline.plan import BlockLayout, Pipeline
from tailrace.runtime.pipeline.problem import Problem, SpecError
from tailrace.runtime.steps.chain import run_steps
from tailrace.runtime.steps.emission import emit
from tailrace.runtime.steps.offload import Abandoned, Pace, never
from tailrace.runtime.steps.step_table import Blame, Step, StepTable


@dataclass(frozen=True, slots=True)
class CompiledIngest:
    """The ingest hop of one pipeline version.

    Attributes:
        rules: one per request field.
        reader: reads requests into a table.
        steps: in order.
        layout: the blocks to hand on.
        blames: by column of the layout, who is to blame for a bad value.
        width: number of columns that are worked on, for a guess at the work.
        tensor_bytes: bytes of the tensor fields of one row.
        pace: how fast its batches were lately.
    """

    rules: tuple[FieldRule, ...]
    reader: RequestReader
    steps: tuple[Step, ...]
    layout: tuple[BlockLayout, ...]
    blames: Mapping[str, Blame]
    width: int
    tensor_bytes: int
    pace: Pace = field(default_factory=Pace)

    def transform(self, table: StepTable, abandoned: Abandoned = never) -> Columns:
        """Runs the steps and returns the columns to hand on; bad rows are told in the table.

        Args:
            table: the request fields, as columns; changed.
            abandoned: asked before each step; true means that nobody waits any longer.
        """
        with np.errstate(all="ignore"):
            if not run_steps(self.steps, table, abandoned):
                return Columns(table.batch_rows)
            return emit(table, self.layout, self.blames)


def compile_ingest(pipeline: Pipeline) -> CompiledIngest:
    """Returns the compiled ingest hop.

    Raises:
        SpecError: the request schema contradicts itself, or a step cannot work on its column;
            lists every problem.
    """
    problems: list[Problem] = []
    rules = schema_rules(pipeline.spec.request, problems)
    compiler = StepCompiler(pipeline, problems)
    steps = compiler.compile_all()
    if problems:
        raise SpecError(pipeline.file, problems)
    names = [name for block in pipeline.ingest_layout for name in block.names]
    return CompiledIngest(
        rules=rules,
        reader=RequestReader(rules),
        steps=steps,
        layout=pipeline.ingest_layout,
        blames={name: compiler.blame(name) for name in names},
        width=len(rules) + _columns_made(pipeline),
        tensor_bytes=_tensor_bytes(rules),
    )


def _columns_made(pipeline: Pipeline) -> int:
    return sum(len(step.output_columns()) for step in pipeline.spec.ingest.steps)


def _tensor_bytes(rules: Sequence[FieldRule]) -> int:
    return sum(math.prod(rule.shape) * rule.dtype.numpy.itemsize for rule in rules if rule.shape)
