"""From the steps of a pipeline file to steps that run, checked against the columns' types."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tailrace.postprocess.label_file import read_labels
from tailrace.postprocess.steps.calibration import platt_step, scale_step, sigmoid_step
from tailrace.postprocess.steps.labelling import Threshold, TopK
from tailrace.runtime.errors import ModelOutputInvalid
from tailrace.runtime.pipeline import postprocess_steps as spec
from tailrace.runtime.pipeline.ingest_steps import FunctionStep, StepBase
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import Problem
from tailrace.runtime.steps.column_types import ColumnTypes, StepRefused
from tailrace.runtime.steps.conversion import NUMBERS_AND_BOOL
from tailrace.runtime.steps.elementwise import clip_step
from tailrace.runtime.steps.function_compiler import compile_function
from tailrace.runtime.steps.step_table import Blame, Step


class StepCompiler:
    """Compiles the postprocess steps of one pipeline."""

    def __init__(self, pipeline: Pipeline, types: ColumnTypes, problems: list[Problem]) -> None:
        """Starts with the columns that arrive; problems are appended to `problems`."""
        self._pipeline = pipeline
        self._types = types
        self._problems = problems
        self._compile: dict[str, Callable[[Any], Step]] = {
            "platt": self._platt,
            "clip": self._clip,
            "scale": self._scale,
            "sigmoid": self._sigmoid,
            "threshold": self._threshold,
            "top_k": self._top_k,
            "function": self._function,
        }

    def compile_all(self) -> tuple[Step, ...]:
        """Returns the steps that could be compiled; their outputs are noted in the types."""
        steps = []
        for place, step in enumerate(self._pipeline.spec.postprocess.steps):
            self._types.path = f"postprocess.steps[{place}]"
            try:
                steps.append(self._compile[step.step](step))
            except StepRefused as refused:
                self._problems.extend(refused.problems)
            self._note_outputs(step)
        return tuple(steps)

    def _note_outputs(self, step: StepBase) -> None:
        if isinstance(step, FunctionStep):
            for output in step.outputs:
                self._types.add(output.name, output.dtype, tuple(output.shape))
            return
        shape = self._types.shape(step.input_columns()[0])
        if isinstance(step, spec.TopKStep):
            shape = (step.k,)
        for name, dtype in step.output_columns():
            self._types.add(name, dtype, shape)

    # -- one method per step ---------------------------------------------------------------

    def _platt(self, step: spec.PlattStep) -> Step:
        self._require_finite(a=step.a, b=step.b)
        self._types.require_numbers(step.input, step.dtype)
        output = step.output or step.input
        return platt_step(step.input, output, step.dtype, step.a, step.b, _blame(step.input))

    def _clip(self, step: spec.ClipOutputStep) -> Step:
        self._types.require_numbers(step.input, step.dtype)
        low, high = step.minimum, step.maximum
        if low is None and high is None:
            raise self._types.refused("minimum", "no bound", "minimum or maximum")
        if low is not None and high is not None and not low <= high:
            found = f"{low:g}, with maximum {high:g}"
            raise self._types.refused("minimum", found, "a minimum at or below the maximum")
        source, output = self._types.dtype(step.input), step.output or step.input
        return clip_step(step.input, output, source, step.dtype, (low, high), _blame(step.input))

    def _scale(self, step: spec.ScaleStep) -> Step:
        self._require_finite(factor=step.factor, offset=step.offset)
        self._types.require_numbers(step.input, step.dtype)
        blame, output = _blame(step.input), step.output or step.input
        return scale_step(step.input, output, step.dtype, step.factor, step.offset, blame)

    def _sigmoid(self, step: spec.SigmoidStep) -> Step:
        self._types.require_numbers(step.input, step.dtype)
        return sigmoid_step(step.input, step.output or step.input, step.dtype, _blame(step.input))

    def _threshold(self, step: spec.ThresholdStep) -> Step:
        self._require_finite(threshold=step.threshold)
        self._types.require_scalar(step.input, NUMBERS_AND_BOOL)
        output = step.output or step.input
        return Threshold(step.input, output, step.threshold, step.labels, _blame(step.input))

    def _top_k(self, step: spec.TopKStep) -> Step:
        dtype, shape = self._types.dtype(step.input), self._types.shape(step.input)
        if dtype not in NUMBERS_AND_BOOL:
            found = f"{step.input!r} of type {dtype.value}"
            raise self._types.refused("input", found, "a column of numbers")
        labels = step.labels or []
        if step.labels_file is not None:
            path = f"{self._types.path}.labels_file"
            labels = read_labels(self._pipeline.file, step.labels_file, path)
        part = "labels" if step.labels_file is None else "labels_file"
        if step.k > len(labels):
            raise self._types.refused("k", str(step.k), f"at most the {len(labels)} labels")
        if shape is not None and shape != (len(labels),):
            expected = f"as many as {step.input!r} has scores: shape {list(shape)}"
            raise self._types.refused(part, f"{len(labels)} labels", expected)
        return TopK(
            step.input, step.output, step.k, np.array(labels, dtype=object), _blame(step.input)
        )

    def _function(self, step: FunctionStep) -> Step:
        return compile_function(step, self._pipeline.file, self._types)

    def _require_finite(self, **numbers: float) -> None:
        for part, number in numbers.items():
            if not math.isfinite(number):
                raise self._types.refused(part, str(number), "a finite number")


def _blame(column: str) -> Blame:
    return Blame(ModelOutputInvalid, column)
