"""The pipeline file's `slo`: what its callers may count on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from tailrace.runtime.pipeline.base import Misfit, SpecModel
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.placement import HOPS

MAX_WITHIN_MS = 86_400_000

Percent = Annotated[float, Field(gt=0, lt=100)]


class Within(SpecModel):
    """A share of something is done within a time.

    Attributes:
        percentile: the share, in percent.
        within_ms: the time, in milliseconds.
    """

    percentile: Percent
    within_ms: float = Field(gt=0, le=MAX_WITHIN_MS)

    @property
    def within_s(self) -> float:
        """The time, in seconds."""
        return self.within_ms / 1000


class LatencyObjective(Within):
    """Answers, or what one hop does of them, within a time.

    Attributes:
        hop: name of the hop; None for the whole prediction, from receipt until the answer.
    """

    hop: str | None = None

    @model_validator(mode="after")
    def _hop_is_one(self) -> LatencyObjective:
        if self.hop is not None and self.hop not in HOPS:
            expected = f"one of {', '.join(HOPS)}, or none for the whole"
            raise Misfit(repr(self.hop), expected, at=".hop", suggestion=nearest(self.hop, HOPS))
        return self


class SloSection(SpecModel):
    """Objectives over a window. What is not named is not promised.

    Attributes:
        window_days: length of the window, in days, that the error budget is for.
        latency: how fast answers are; of those that were answers.
        availability_percent: share of valid requests that get an answer. What is the caller's own
            fault (INVALID_ARGUMENT, NOT_FOUND, CANCELLED and their like) does not count.
        degraded_max_percent: largest share of answers that are not LIVE.
        fresh_min_percent: least share of feature rows that are found, and fresh.
        delivery: how soon after it is final a submission's result is delivered.
        min_bad_events: fewest bad events in an alert's long window before it may fire, so that
            with little traffic a few unlucky requests wake nobody.
    """

    window_days: int = Field(default=30, ge=1, le=90)
    latency: list[LatencyObjective] = []
    availability_percent: Percent | None = None
    degraded_max_percent: Percent | None = None
    fresh_min_percent: Percent | None = None
    delivery: list[Within] = []
    min_bad_events: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _each_once(self) -> SloSection:
        seen: set[tuple[str | None, float]] = set()
        for place, objective in enumerate(self.latency):
            key = (objective.hop, objective.percentile)
            if key in seen:
                found = (
                    f"percentile {objective.percentile:g} of {objective.hop or 'the whole'} twice"
                )
                raise Misfit(found, "each percentile once", at=f".latency[{place}]")
            seen.add(key)
        percentiles = [objective.percentile for objective in self.delivery]
        for place, percentile in enumerate(percentiles):
            if percentile in percentiles[:place]:
                found = f"percentile {percentile:g} twice"
                raise Misfit(found, "each percentile once", at=f".delivery[{place}]")
        return self

    @property
    def empty(self) -> bool:
        """Whether nothing is promised."""
        return not (
            self.latency
            or self.delivery
            or self.availability_percent
            or self.degraded_max_percent
            or self.fresh_min_percent
        )

    def latency_bounds_s(self, hop: str | None = None) -> list[float]:
        """Returns the times of the latency objectives of a hop, or of the whole, in seconds."""
        return [objective.within_s for objective in self.latency if objective.hop == hop]

    def delivery_bounds_s(self) -> list[float]:
        """Returns the times of the delivery objectives, in seconds."""
        return [objective.within_s for objective in self.delivery]
