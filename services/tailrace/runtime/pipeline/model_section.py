"""The model section of a pipeline file: which model, fed with what."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.base import (
    MODEL_VERSION_PATTERN,
    ColumnName,
    Misfit,
    SpecModel,
    shown,
)
from tailrace.runtime.pipeline.problem import nearest

VersionNumber = Annotated[str, Field(pattern=MODEL_VERSION_PATTERN)]


class WeightedVersions(SpecModel):
    """Traffic split over versions, by weight."""

    weights: dict[VersionNumber, float] = Field(min_length=1, max_length=2)

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        for version, weight in value.items():
            if not 0 <= weight < float("inf"):
                raise Misfit(f"{weight:g}", "a finite weight, not below zero", at=f".{version}")
        if sum(value.values()) <= 0:
            raise Misfit("no weight above zero", "at least one")
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
            found = "neither columns nor column" if self.columns is None else "both"
            raise Misfit(found, "either columns or column")
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

    @field_validator("version", mode="before")
    @classmethod
    def _one_of_three(cls, value: object) -> object:
        if isinstance(value, dict) or value == "latest":
            return value
        if not isinstance(value, str) or re.match(MODEL_VERSION_PATTERN, value) is None:
            expected = "latest, a version number in quotes such as '1', or a mapping with weights"
            raise Misfit(shown(value), expected, suggestion=nearest(value, ["latest"]))
        return value
