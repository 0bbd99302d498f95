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
from tailrace.runtime.pipeline.slo_section import SloSection

MAX_TIME_MS = 86_400_000
"""Longest deadline or budget, in milliseconds: a day."""

KEY_ORIGINS = ("request", "ingest")


class ViewUse(SpecModel):
    """One feature view that the pipeline reads.

    Attributes:
        view: the view's own name.
        alias: what its columns begin with, `as` in the file: a view may be read more than once,
            as one of airports for a flight's origin and for its destination.
        keys: where each key of the view comes from: `request.<field>` or `ingest.<column>`.
        at: where the instant comes from that the features are wanted for, in the same form; None
            for the time of the lookup.
    """

    view: Name
    alias: Name | None = Field(default=None, alias="as")
    keys: dict[ColumnName, str]
    at: str | None = None

    @property
    def name(self) -> str:
        """What the view's columns begin with."""
        return self.alias or self.view

    @field_validator("keys")
    @classmethod
    def _have_sources(cls, value: dict[str, str]) -> dict[str, str]:
        for key, source in value.items():
            _check_source(source, f".{key}")
        return value

    @field_validator("at")
    @classmethod
    def _has_source(cls, value: str | None) -> str | None:
        if value is not None:
            _check_source(value, "")
        return value


def _check_source(source: str, at: str) -> None:
    origin, _, name = source.partition(".")
    if origin in KEY_ORIGINS and name:
        return
    suggestion = f"{nearest(origin, KEY_ORIGINS)}.{name or '<name>'}"
    raise Misfit(
        shown(source),
        "request.<field> or ingest.<column>",
        at=at,
        suggestion="" if suggestion.startswith(".") else suggestion,
    )


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
    slo: SloSection = SloSection()
