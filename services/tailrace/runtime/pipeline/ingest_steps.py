"""The ingest section of a pipeline file: the steps and the columns that each makes.

What a step does to its columns is in `tailrace.ingest.steps`; here is only what may be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.base import (
    FUNCTION_PATTERN,
    ColumnName,
    Misfit,
    SpecModel,
    shown,
)
from tailrace.runtime.pipeline.problem import nearest

TIME_PARTS = (
    "minute", "hour", "day_of_week", "day", "day_of_year", "week", "month", "quarter", "year",
    "minute_of_day", "is_weekend",
)  # fmt: skip

OutputColumn = tuple[str, DType]


class StepBase(SpecModel):
    """What every step can say of itself."""

    def input_columns(self) -> list[str]:
        """Returns the columns read."""
        raise NotImplementedError

    def output_columns(self) -> list[OutputColumn]:
        """Returns the columns made, with their types."""
        raise NotImplementedError


class UnaryStep(StepBase):
    """A step from one column to one column."""

    input: ColumnName
    output: ColumnName | None = None
    dtype: DType = DType.FLOAT32

    def input_columns(self) -> list[str]:
        """Returns the columns read."""
        return [self.input]

    def output_columns(self) -> list[OutputColumn]:
        """Returns the columns made, with their types."""
        return [(self.output or self.input, self.dtype)]


class FillStep(UnaryStep):
    """Puts `value` where the input is null (or NaN)."""

    step: Literal["fill"]
    value: float | str | bool


class ClipStep(UnaryStep):
    """Limits values to [minimum, maximum]."""

    step: Literal["clip"]
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _in_order(self) -> ClipStep:
        low, high = self.minimum, self.maximum
        if low is None and high is None:
            raise Misfit("neither minimum nor maximum", "one of them or both")
        if low is not None and high is not None and low > high:
            raise Misfit(f"{low:g}", f"a minimum at or below the maximum, {high:g}", at=".minimum")
        return self


class StandardiseStep(UnaryStep):
    """(x - mean) / stddev."""

    step: Literal["standardise"]
    mean: float
    stddev: float = Field(gt=0)


class LogStep(UnaryStep):
    """ln(x + offset); values at or below -offset are a bad row."""

    step: Literal["log"]
    offset: float = 0.0


class BucketiseStep(UnaryStep):
    """Index of the bucket: the number of boundaries at or below the value."""

    step: Literal["bucketise"]
    boundaries: list[float] = Field(min_length=1)
    dtype: DType = DType.INT64

    @field_validator("boundaries")
    @classmethod
    def _ascending(cls, value: list[float]) -> list[float]:
        for place, (low, high) in enumerate(zip(value, value[1:], strict=False), start=1):
            if not low < high:
                raise Misfit(f"{high:g}", f"a boundary above {low:g}", at=f"[{place}]")
        return value


class CastStep(UnaryStep):
    """Another element type."""

    step: Literal["cast"]


class VocabularyStep(UnaryStep):
    """Index of the value in a list, or `unknown`."""

    step: Literal["vocabulary"]
    values: list[str] | list[int] = Field(min_length=1)
    unknown: int | Literal["fail"] = -1
    dtype: DType = DType.INT64

    @field_validator("values")
    @classmethod
    def _distinct(cls, value: list[str] | list[int]) -> list[str] | list[int]:
        _refuse_twice(value)
        return value


class OneHotStep(StepBase):
    """One column per value, named `<output>=<value>`: 1 where the input equals it, else 0."""

    step: Literal["one_hot"]
    input: ColumnName
    output: ColumnName | None = None
    values: list[str] | list[int] = Field(min_length=1, max_length=1024)
    dtype: DType = DType.FLOAT32

    @field_validator("values")
    @classmethod
    def _distinct(cls, value: list[str] | list[int]) -> list[str] | list[int]:
        _refuse_twice(value)
        return value

    def input_columns(self) -> list[str]:
        """Returns the columns read."""
        return [self.input]

    def output_columns(self) -> list[OutputColumn]:
        """Returns the columns made, with their types."""
        return [(f"{self.output or self.input}={value}", self.dtype) for value in self.values]


def _refuse_twice(values: Sequence[str | int]) -> None:
    seen: set[str | int] = set()
    for place, value in enumerate(values):
        if value in seen:
            raise Misfit(f"{shown(value)} again", "each value once", at=f"[{place}]")
        seen.add(value)


class HashStep(UnaryStep):
    """Bucket of a stable hash: the first 8 bytes (little-endian) of BLAKE2b, modulo `buckets`."""

    step: Literal["hash"]
    buckets: int = Field(ge=2, le=2**31)
    seed: str = Field(default="", max_length=16)
    dtype: DType = DType.INT64


class TimePartsStep(StepBase):
    """Parts of an instant in a time zone, named `<prefix><part>`. Monday is day_of_week 0."""

    step: Literal["time_parts", "date_parts"]
    input: ColumnName
    parts: list[str] = Field(min_length=1)
    prefix: str = ""
    timezone: str = "UTC"
    dtype: DType = DType.FLOAT32

    @field_validator("parts")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        for place, part in enumerate(value):
            if part not in TIME_PARTS:
                expected = f"one of: {', '.join(TIME_PARTS)}"
                suggestion = nearest(part, TIME_PARTS)
                raise Misfit(shown(part), expected, at=f"[{place}]", suggestion=suggestion)
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        known = available_timezones()
        if value not in known:
            expected = "a time zone, such as America/New_York"
            raise Misfit(shown(value), expected, suggestion=nearest(value, sorted(known)))
        return ZoneInfo(value).key

    def input_columns(self) -> list[str]:
        """Returns the columns read."""
        return [self.input]

    def output_columns(self) -> list[OutputColumn]:
        """Returns the columns made, with their types."""
        return [(f"{self.prefix}{part}", self.dtype) for part in self.parts]


class FunctionOutput(SpecModel):
    """One column that a user function makes."""

    name: ColumnName
    dtype: DType = DType.FLOAT32
    shape: list[int] = []


class FunctionStep(StepBase):
    """A user function `module:function` over columns.

    Called with one numpy array per input, shape [rows, ...], by keyword; returns one array per
    output: a mapping by output name, or the array itself where there is one output.
    """

    step: Literal["function"]
    function: str = Field(pattern=FUNCTION_PATTERN)
    inputs: list[ColumnName] = []
    outputs: list[FunctionOutput] = Field(min_length=1)

    def input_columns(self) -> list[str]:
        """Returns the columns read."""
        return list(self.inputs)

    def output_columns(self) -> list[OutputColumn]:
        """Returns the columns made, with their types."""
        return [(output.name, output.dtype) for output in self.outputs]


IngestStep = Annotated[
    FillStep
    | ClipStep
    | StandardiseStep
    | LogStep
    | BucketiseStep
    | CastStep
    | VocabularyStep
    | OneHotStep
    | HashStep
    | TimePartsStep
    | FunctionStep,
    Field(discriminator="step"),
]


class IngestSection(SpecModel):
    """The ingest hop."""

    steps: list[IngestStep] = []
