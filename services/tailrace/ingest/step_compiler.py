"""From the steps of a pipeline file to steps that run, checked against the columns' types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tailrace.ingest.steps.categorical import Hash, OneHot, ValueIndex, Vocabulary
from tailrace.ingest.steps.fill import Fill
from tailrace.ingest.steps.numeric import Bucketise, Cast, natural_log, standardise
from tailrace.ingest.steps.time_parts import PART_MAXIMUM, TimeParts
from tailrace.ingest.steps.zone_offsets import zone_offsets
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import InvalidField
from tailrace.runtime.pipeline import ingest_steps as spec
from tailrace.runtime.pipeline.column_kind import request_kinds
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import Problem
from tailrace.runtime.steps.column_types import ColumnTypes, StepRefused
from tailrace.runtime.steps.conversion import INTEGERS, NUMBERS, NUMBERS_AND_BOOL, can_convert
from tailrace.runtime.steps.elementwise import clip_step
from tailrace.runtime.steps.function_compiler import compile_function
from tailrace.runtime.steps.step_table import Blame, Step

TEXT = frozenset({DType.STRING})
HASHABLE = frozenset({DType.STRING, DType.BYTES, DType.INT64, DType.TIMESTAMP})


class StepCompiler:
    """Compiles the ingest steps of one pipeline.

    Attributes:
        types: the columns made so far.
        blames: by column, who is to blame for a bad value in it: the request field that it was
            made from, where that is a single one, else the column.
    """

    def __init__(self, pipeline: Pipeline, problems: list[Problem]) -> None:
        """Starts with the request fields; problems are appended to `problems`."""
        self._pipeline = pipeline
        self._problems = problems
        self._types = ColumnTypes()
        self._sources: dict[str, frozenset[str]] = {}
        self._lists: set[str] = set()
        self._compile: dict[str, Callable[[Any], Step]] = {
            "fill": self._fill,
            "clip": self._clip,
            "standardise": self._standardise,
            "log": self._log,
            "bucketise": self._bucketise,
            "cast": self._cast,
            "vocabulary": self._vocabulary,
            "one_hot": self._one_hot,
            "hash": self._hash,
            "time_parts": self._time_parts,
            "date_parts": self._time_parts,
            "function": self._function,
        }
        for name in pipeline.spec.request.fields:
            self._sources[name] = frozenset({name})
        for name, kind in request_kinds(pipeline.spec.request).items():
            self._types.add(name, kind.dtype, kind.row_shape)
            if kind.length is not None:
                self._types.add(kind.length, DType.INT64, ())
                self._sources[kind.length] = frozenset({name})
                self._lists.add(name)

    def compile_all(self) -> tuple[Step, ...]:
        """Returns the steps that could be compiled."""
        steps = []
        for place, step in enumerate(self._pipeline.spec.ingest.steps):
            self._types.path = f"ingest.steps[{place}]"
            try:
                steps.append(self._compile[step.step](step))
            except StepRefused as refused:
                self._problems.extend(refused.problems)
            self._note_outputs(step)
        return tuple(steps)

    def blame(self, column: str) -> Blame:
        """Returns who is to blame for a bad value in a column."""
        sources = self._sources.get(column, frozenset())
        field = f"fields.{next(iter(sources))}" if len(sources) == 1 else f"ingest.{column}"
        return Blame(InvalidField, field)

    def _note_outputs(self, step: spec.StepBase) -> None:
        inputs = step.input_columns()
        sources = frozenset().union(*(self._sources.get(name, frozenset()) for name in inputs))
        shape = self._types.shape(inputs[0]) if inputs else ()
        for name, dtype in step.output_columns():
            self._sources[name] = sources
            self._types.add(name, dtype, shape)
            is_list = not isinstance(step, spec.FunctionStep) and inputs[0] in self._lists
            (self._lists.add if is_list else self._lists.discard)(name)
        if isinstance(step, spec.FunctionStep):
            for output in step.outputs:
                self._types.add(output.name, output.dtype, tuple(output.shape))

    # -- one method per step ---------------------------------------------------------------

    def _fill(self, step: spec.FillStep) -> Step:
        self._refuse_list(step.input, "a list has no null items")
        types, output = self._types, step.output or step.input
        source = types.dtype(step.input)
        if not can_convert(source, step.dtype) or source is DType.TIMESTAMP:
            # The usual slip: the default type of an output is float32.
            expected = "string" if source is DType.STRING else "a number or bool to fill"
            raise types.refused("dtype", f"{step.dtype.value} for {source.value}", expected)
        value = step.value
        if isinstance(value, str):
            fits = step.dtype is DType.STRING
        elif isinstance(value, bool):
            fits = step.dtype is DType.BOOL
        else:
            fits = step.dtype in NUMBERS and _holds_number(value, step.dtype)
        if not fits:
            raise types.refused("value", repr(value), f"a value that {step.dtype.value} can hold")
        return Fill(step.input, output, step.dtype, value, self.blame(step.input))

    def _clip(self, step: spec.ClipStep) -> Step:
        self._types.require_numbers(step.input, step.dtype)
        source = self._types.dtype(step.input)
        bounds = (step.minimum, step.maximum)
        output = step.output or step.input
        return clip_step(step.input, output, source, step.dtype, bounds, self.blame(step.input))

    def _standardise(self, step: spec.StandardiseStep) -> Step:
        self._types.require_numbers(step.input, step.dtype)
        blame, output = self.blame(step.input), step.output or step.input
        return standardise(step.input, output, step.dtype, step.mean, step.stddev, blame)

    def _log(self, step: spec.LogStep) -> Step:
        self._refuse_list(step.input, "what fills a list up is 0, which has no logarithm")
        self._types.require_numbers(step.input, step.dtype)
        blame, output = self.blame(step.input), step.output or step.input
        return natural_log(step.input, output, step.dtype, step.offset, blame)

    def _bucketise(self, step: spec.BucketiseStep) -> Step:
        self._types.require_numbers(step.input, step.dtype)
        if not _holds_index(len(step.boundaries), step.dtype):
            raise self._types.refused("dtype", step.dtype.value, "a type that holds every index")
        boundaries = np.array(step.boundaries, dtype=np.float64)
        output = step.output or step.input
        return Bucketise(step.input, output, step.dtype, boundaries, self.blame(step.input))

    def _cast(self, step: spec.CastStep) -> Step:
        source = self._types.dtype(step.input)
        if not can_convert(source, step.dtype):
            expected = f"a type that {source.value} can become"
            raise self._types.refused("dtype", step.dtype.value, expected)
        return Cast(step.input, step.output or step.input, step.dtype, self.blame(step.input))

    def _vocabulary(self, step: spec.VocabularyStep) -> Step:
        index = self._value_index(step.input, step.values)
        if step.unknown == "fail" and step.input in self._lists:
            expected = "a number, as for every list: what fills it up is no value of it"
            raise self._types.refused("unknown", "'fail'", expected)
        lowest = 0 if step.unknown == "fail" else step.unknown
        if step.dtype not in NUMBERS or not (
            _holds_index(len(step.values) - 1, step.dtype) and _holds_index(lowest, step.dtype)
        ):
            raise self._types.refused("dtype", step.dtype.value, "a type that holds every index")
        unknown = None if step.unknown == "fail" else step.unknown
        output, blame = step.output or step.input, self.blame(step.input)
        return Vocabulary(step.input, output, step.dtype, index, unknown, blame)

    def _one_hot(self, step: spec.OneHotStep) -> Step:
        index = self._value_index(step.input, step.values)
        self._types.require_scalar(step.input, TEXT | INTEGERS)
        if step.dtype not in NUMBERS_AND_BOOL:
            raise self._types.refused("dtype", step.dtype.value, "a number or bool")
        outputs = tuple(name for name, _ in step.output_columns())
        return OneHot(step.input, outputs, step.dtype, index)

    def _hash(self, step: spec.HashStep) -> Step:
        self._require_items(step.input, HASHABLE)
        if step.dtype not in NUMBERS or not _holds_index(step.buckets - 1, step.dtype):
            raise self._types.refused("dtype", step.dtype.value, "a type that holds every bucket")
        output = step.output or step.input
        return Hash(step.input, output, step.dtype, step.buckets, step.seed)

    def _time_parts(self, step: spec.TimePartsStep) -> Step:
        self._types.require_scalar(step.input, frozenset({DType.TIMESTAMP}))
        greatest = max(PART_MAXIMUM[part] for part in step.parts)
        if step.dtype is DType.BOOL and set(step.parts) != {"is_weekend"}:
            raise self._types.refused("dtype", "bool", "a number, or is_weekend as the only part")
        if step.dtype not in NUMBERS_AND_BOOL or not _holds_index(greatest, step.dtype):
            raise self._types.refused("dtype", step.dtype.value, "a type that holds every part")
        outputs = tuple((part, f"{step.prefix}{part}") for part in step.parts)
        offsets = None if step.timezone == "UTC" else zone_offsets(step.timezone)
        return TimeParts(step.input, outputs, step.dtype, offsets)

    def _function(self, step: spec.FunctionStep) -> Step:
        return compile_function(step, self._pipeline.file, self._types)

    def _refuse_list(self, column: str, reason: str) -> None:
        if column in self._lists:
            found, expected = f"the list {column!r}", f"a column of single values: {reason}"
            raise self._types.refused("input", found, expected)

    def _require_items(self, column: str, dtypes: frozenset[DType]) -> None:
        """Checks that a column holds values of these types, or lists of them."""
        if column not in self._lists:
            self._types.require_scalar(column, dtypes)
        elif self._types.dtype(column) not in dtypes:
            names = ", ".join(sorted(dtype.value for dtype in dtypes))
            found = f"{column!r}, a list of {self._types.dtype(column).value}"
            raise self._types.refused("input", found, f"a column of type {names}")

    def _value_index(self, column: str, values: list[str] | list[int]) -> ValueIndex:
        is_text = isinstance(values[0], str)
        self._require_items(column, TEXT if is_text else INTEGERS - {DType.UINT64})
        if not is_text and not all(_holds_index(int(value), DType.INT64) for value in values):
            raise self._types.refused("values", "a number too large", "signed 64-bit integers")
        return ValueIndex(values)


def _holds_index(index: int, dtype: DType) -> bool:
    if dtype is DType.BOOL:
        return index in (0, 1)
    if dtype.is_floating:
        # Above this, floats skip whole numbers.
        digits = int(np.finfo(dtype.numpy).nmant) + 1
        return abs(index) <= 1 << digits
    limits = np.iinfo(dtype.numpy)
    return bool(limits.min <= index <= limits.max)


def _holds_number(number: float, dtype: DType) -> bool:
    if dtype.is_floating:
        return abs(number) <= float(np.finfo(dtype.numpy).max)
    limits = np.iinfo(dtype.numpy)
    return number.is_integer() and bool(limits.min <= number <= limits.max)
