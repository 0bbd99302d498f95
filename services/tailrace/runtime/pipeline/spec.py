"""The pipeline file as a typed model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tailrace.runtime.pipeline.base import (
    VERSION_PATTERN,
    ColumnName,
    Misfit,
    Name,
    SpecModel,
    shown,
)
from tailrace.runtime.pipeline.ingest_steps import IngestSection
from tailrace.runtime.pipeline.model_section import ModelSection
from tailrace.runtime.pipeline.postprocess_steps import PostprocessSection
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.pipeline.request_schema import RequestSchema

MAX_TIME_MS = 86_400_000
"""Longest deadline or budget, in milliseconds: a day."""

KEY_ORIGINS = ("request", "ingest")


class ViewUse(SpecModel):
    """One feature view that the pipeline reads.

    `keys` says where each key of the view comes from: `request.<field>` or `ingest.<column>`.
    """

    view: Name
    keys: dict[ColumnName, str]

    @field_validator("keys")
    @classmethod
    def _have_sources(cls, value: dict[str, str]) -> dict[str, str]:
        for key, source in value.items():
            origin, _, name = source.partition(".")
            if origin not in KEY_ORIGINS or not name:
                suggestion = f"{nearest(origin, KEY_ORIGINS)}.{name or '<name>'}"
                expected = "request.<field> or ingest.<column>"
                raise Misfit(
                    shown(source),
                    expected,
                    at=f".{key}",
                    suggestion="" if suggestion.startswith(".") else suggestion,
                )
        return value


class FeaturesSection(SpecModel):
    """The features hop."""

    on_failure: Literal["defaults", "fail"] = "fail"
    views: list[ViewUse] = []


class DeadlineSection(SpecModel):
    """How long a request may take."""

    default_ms: float = Field(default=1000, gt=0, le=MAX_TIME_MS)
    maximum_ms: float = Field(default=10_000, gt=0, le=MAX_TIME_MS)

    @model_validator(mode="after")
    def _in_order(self) -> DeadlineSection:
        if self.default_ms > self.maximum_ms:
            expected = f"a default at or below maximum_ms, {self.maximum_ms:g}"
            raise Misfit(f"{self.default_ms:g}", expected, at=".default_ms")
        return self


class HopBudget(SpecModel):
    """Bounds on the budget of one hop. Less than the floor left: the hop is not called."""

    cap_ms: float = Field(default=60_000, gt=0, le=MAX_TIME_MS)
    floor_ms: float = Field(default=1, ge=0, le=MAX_TIME_MS)

    @model_validator(mode="after")
    def _in_order(self) -> HopBudget:
        if self.floor_ms > self.cap_ms:
            expected = f"a floor at or below cap_ms, {self.cap_ms:g}"
            raise Misfit(f"{self.floor_ms:g}", expected, at=".floor_ms")
        return self


class Budgets(SpecModel):
    """Bounds per hop."""

    ingest: HopBudget = HopBudget()
    features: HopBudget = HopBudget()
    inference: HopBudget = HopBudget()
    postprocess: HopBudget = HopBudget()


class PipelineSpec(SpecModel):
    """How one kind of prediction is made."""

    pipeline: Name
    version: Annotated[str, Field(pattern=VERSION_PATTERN)]
    description: str = ""
    owner: str = ""
    request: RequestSchema
    ingest: IngestSection = IngestSection()
    features: FeaturesSection = FeaturesSection()
    model: ModelSection
    postprocess: PostprocessSection
    deadline: DeadlineSection = DeadlineSection()
    budgets: Budgets = Budgets()
