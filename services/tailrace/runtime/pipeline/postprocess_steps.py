"""The postprocess section of a pipeline file: the steps and the columns that each makes.

What a step does to its columns is in `tailrace.postprocess.steps`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.base import ColumnName, Misfit, SpecModel
from tailrace.runtime.pipeline.ingest_steps import (
    ClipStep,
    FunctionStep,
    OutputColumn,
    StepBase,
    UnaryStep,
)


class PlattStep(UnaryStep):
    """Platt calibration: sigmoid(a * logit(p) + b) of a probability p (Platt, 1999)."""

    step: Literal["platt"]
    a: float
    b: float


class ClipOutputStep(ClipStep):
    """Limits values to [minimum, maximum], as in ingest."""


class ScaleStep(UnaryStep):
    """x * factor + offset: a change of unit."""

    step: Literal["scale"]
    factor: float = 1.0
    offset: float = 0.0


class SigmoidStep(UnaryStep):
    """1 / (1 + exp(-x))."""

    step: Literal["sigmoid"]


class ThresholdStep(UnaryStep):
    """labels[1] where the value is at or above the threshold, else labels[0]."""

    step: Literal["threshold"]
    threshold: float = 0.5
    labels: tuple[str, str]
    dtype: Literal[DType.STRING] = DType.STRING


class TopKStep(StepBase):
    """The k largest scores of a vector, best first, with their labels.

    Makes `<output>.labels` (string [rows, k]) and `<output>.scores` (float32 [rows, k]).
    """

    step: Literal["top_k"]
    input: ColumnName
    output: ColumnName
    k: int = Field(ge=1, le=1000)
    labels: list[str] | None = None
    labels_file: str | None = None

    @model_validator(mode="after")
    def _labels_once(self) -> TopKStep:
        if (self.labels is None) == (self.labels_file is None):
            found = "neither" if self.labels is None else "both labels and labels_file"
            raise Misfit(found, "either labels or labels_file")
        return self

    def input_columns(self) -> list[str]:
        """Returns the columns read."""
        return [self.input]

    def output_columns(self) -> list[OutputColumn]:
        """Returns the columns made, with their types."""
        return [(f"{self.output}.labels", DType.STRING), (f"{self.output}.scores", DType.FLOAT32)]


PostprocessStep = Annotated[
    PlattStep | ClipOutputStep | ScaleStep | SigmoidStep | ThresholdStep | TopKStep | FunctionStep,
    Field(discriminator="step"),
]


class PredictionOutput(SpecModel):
    """One field of the prediction.

    Attributes:
        name: of the field.
        column: that it is read from; None for the one of its own name.
        length_of: the request field, a list, that has as many items as this field shall have; the
            column has room for the longest. None for a column that is given as it is.
    """

    name: ColumnName
    column: ColumnName | None = None
    length_of: ColumnName | None = None
    unit: str = ""
    description: str = ""

    @property
    def source(self) -> str:
        """The column that the field is read from."""
        return self.column or self.name


class PostprocessSection(SpecModel):
    """The postprocess hop."""

    steps: list[PostprocessStep] = []
    outputs: list[PredictionOutput] = Field(min_length=1)
