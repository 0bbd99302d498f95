"""The pipeline file as a typed model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tailrace.runtime.pipeline.base import ColumnName, Name, SpecModel
from tailrace.runtime.pipeline.ingest_steps import IngestSection
from tailrace.runtime.pipeline.model_section import ModelSection
from tailrace.runtime.pipeline.postprocess_steps import PostprocessSection
from tailrace.runtime.pipeline.request_schema import RequestSchema


class ViewUse(SpecModel):
    """One feature view that the pipeline reads.

    `keys` says where each key of the view comes from: `request.<field>` or `ingest.<column>`.
    """

    view: Name
    keys: dict[ColumnName, Annotated[str, Field(pattern=r"^(request|ingest)\..+$")]]


class FeaturesSection(SpecModel):
    """The features hop."""

    on_failure: Literal["defaults", "fail"] = "fail"
    views: list[ViewUse] = []


class DeadlineSection(SpecModel):
    """How long a request may take."""

    default_ms: float = Field(default=1000, gt=0)
    maximum_ms: float = Field(default=10_000, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> DeadlineSection:
        if self.default_ms > self.maximum_ms:
            raise ValueError("default_ms is above maximum_ms")
        return self


class HopBudget(SpecModel):
    """Bounds on the budget of one hop. Less than the floor left: the hop is not called."""

    cap_ms: float = Field(default=60_000, gt=0)
    floor_ms: float = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> HopBudget:
        if self.floor_ms > self.cap_ms:
            raise ValueError("floor_ms is above cap_ms")
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
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,32}$")]
    description: str = ""
    owner: str = ""
    request: RequestSchema
    ingest: IngestSection = IngestSection()
    features: FeaturesSection = FeaturesSection()
    model: ModelSection
    postprocess: PostprocessSection
    deadline: DeadlineSection = DeadlineSection()
    budgets: Budgets = Budgets()
