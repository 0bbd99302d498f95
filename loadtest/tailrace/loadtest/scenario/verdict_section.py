"""What a scenario file looks for, and what is good enough."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from tailrace.loadtest.scenario.mesh_section import Section
from tailrace.runtime.pipeline.base import Misfit
from tailrace.runtime.pipeline.duration import Duration
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.placement import HOPS


class SearchSection(Section):
    """How the largest rate is looked for at which a load still keeps its objective.

    Attributes:
        load: name of the load; empty for the first. It is made at one rate after the other.
        p99: latency that 99 % must keep; None for that of the pipeline's SLO.
        errors: largest share of failed calls, in percent.
        start: first rate, in calls a second.
        factor: by what each step is multiplied, until one does not hold.
        step: length of a step.
        narrow: steps between the last rate that held and the first that did not.
        max_rps: rate at which it stops.
    """

    load: str = ""
    p99: Duration | None = None
    errors: float = Field(default=0.5, ge=0, lt=100)
    start: float = Field(default=100, gt=0)
    # Rates have three digits: by less, they would stay what they are.
    factor: float = Field(default=1.6, ge=1.05)
    step: Duration = timedelta(seconds=3)
    narrow: int = Field(default=3, ge=0, le=10)
    max_rps: float = Field(default=100_000, gt=0)


class RecoverySection(Section):
    """How soon a load has to be well again.

    Attributes:
        load: name of the load.
        within: how soon.
        after: since when: after the scenario's begin; None for the first event, or else for the
            load's own begin.
        p99: latency that each slice of time has to keep at its p99 to count as well; None for that
            of the pipeline's SLO.
        before: name of a load that was made before, and shows what is as before; empty for what
            the load itself was like until then.
    """

    load: str
    within: Duration
    before: str = ""
    after: Duration | None = None
    p99: Duration | None = None


class VerdictSection(Section):
    """What is good enough, beside the loads' own objectives.

    Attributes:
        slo: whether loads of a pipeline are held against the pipeline's own `slo`.
        recovery: how soon loads have to be well again.
        drift: how much longer, in percent, p50 and p99 may be in the last third of a load than in
            its first third.
        memory_growth: how much more memory, in percent, any process of the mesh may have in the
            last third than in the first.
        memory_slack_mb: growth below this is none, in MB.
        exactly_once: every acknowledged submission arrives once.
        delivered_within: how long results are waited for, after the last submission.
        slowest_hop: the hop that must have taken the most time at p50.
        capacity: least rate that a search has to find, in calls a second.
    """

    slo: bool = True
    recovery: list[RecoverySection] = []
    drift: float | None = Field(default=None, gt=0)
    memory_growth: float | None = Field(default=None, gt=0)
    memory_slack_mb: float = Field(default=10, ge=0)
    exactly_once: bool = False
    delivered_within: Duration = timedelta(seconds=30)
    slowest_hop: str = ""
    capacity: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _hop_is_one(self) -> VerdictSection:
        hop = self.slowest_hop
        if hop and hop not in HOPS:
            expected = f"one of {', '.join(HOPS)}"
            raise Misfit(repr(hop), expected, at=".slowest-hop", suggestion=nearest(hop, HOPS))
        return self
