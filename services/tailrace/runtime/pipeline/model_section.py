"""The model section of a pipeline file: which model, fed with what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.base import ColumnName, SpecModel

VersionNumber = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]


class WeightedVersions(SpecModel):
    """Traffic split over versions, by weight."""

    weights: dict[VersionNumber, float] = Field(min_length=1, max_length=2)

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if any(not 0 <= weight < float("inf") for weight in value.values()):
            raise ValueError("weights must be finite and not negative")
        if sum(value.values()) <= 0:
            raise ValueError("one weight must be above zero")
        return value


class ModelInput(SpecModel):
    """One input tensor of the model.

    `columns` of scalars are stacked to [rows, columns]; a single `column` is passed as it
    is, [rows, ...].
    """

    name: str = Field(min_length=1)
    dtype: DType
    columns: list[ColumnName] | None = Field(default=None, min_length=1)
    column: ColumnName | None = None
    allow_nan: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> ModelInput:
        if (self.columns is None) == (self.column is None):
            raise ValueError("a model input needs either columns or column")
        return self

    def source_columns(self) -> list[str]:
        """Returns the columns that the input is made of."""
        return list(self.columns) if self.columns is not None else [str(self.column)]


class ModelOutput(SpecModel):
    """One output tensor of the model. `shape` is that of one row."""

    name: str = Field(min_length=1)
    dtype: DType
    shape: list[int] = []
    allow_nan: bool = False


class ModelSection(SpecModel):
    """The inference hop."""

    name: str = Field(min_length=1, max_length=128)
    version: Literal["latest"] | VersionNumber | WeightedVersions = "latest"
    inputs: list[ModelInput] = Field(min_length=1)
    outputs: list[ModelOutput] = Field(min_length=1)
