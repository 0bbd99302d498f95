"""A scenario file: which loads, what happens meanwhile, and what is good enough."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.scenario.load_section import LoadKind, LoadSection, kebab
from tailrace.runtime.pipeline.base import Misfit, SpecModel
from tailrace.runtime.pipeline.duration import Duration
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.pipeline.validation import problems_of
from tailrace.runtime.placement import HOPS

_ZERO = timedelta()


class Section(SpecModel):
    """A part of the file; its keys are written with hyphens."""

    model_config = ConfigDict(alias_generator=kebab)


class MeshSection(Section):
    """The mesh that is started where no target is given.

    Attributes:
        example: folder with an `example.yaml`, as `tailrace up` takes it; relative to the working
            directory, or to the project that this file lies in.
        inference_backend: what runs the models; None as the launcher's settings say.
        placement: where the hops run, as for the gateway.
        workers: processes of the gateway.
        replicas: processes by hop; one of those that are not named.
        submissions: whether it takes submissions; None for where a load submits.
        queue_durability: what must be on disk before a submission is acknowledged.
        warm_up: how long predictions are asked for before anything counts.
    """

    example: Path = Path("examples/flights")
    inference_backend: Literal["triton", "onnxruntime"] | None = None
    placement: str = "remote"
    workers: int = Field(default=1, ge=1, le=64)
    replicas: dict[str, int] = {}
    submissions: bool | None = None
    queue_durability: Literal["always", "everysec", "none"] = "everysec"
    warm_up: Duration = timedelta(seconds=1)

    @model_validator(mode="after")
    def _replicas_are_of_hops(self) -> MeshSection:
        for hop, count in self.replicas.items():
            at = f".replicas.{hop}"
            if hop not in HOPS:
                hint = nearest(hop, HOPS)
                raise Misfit(repr(hop), f"one of {', '.join(HOPS)}", at=at, suggestion=hint)
            if count < 1:
                raise Misfit(str(count), "a number of at least 1", at=at)
        return self


class EventSection(Section):
    """Something that happens to the mesh.

    Attributes:
        at: when, after the scenario's begin.
        what: `kill` ends a process with SIGKILL and starts it again after `lasting`; `pause` stops
            it (SIGSTOP) for as long; `slow` delays all that the gateway sends to a hop.
        process: which process, such as `ingest-2`; of `kill` and `pause`.
        hop: which hop; of `slow`.
        lasting: how long.
        delay: of `slow`, how late each byte arrives.
    """

    at: Duration
    what: Literal["kill", "pause", "slow"]
    process: str = ""
    hop: str = ""
    lasting: Duration = timedelta(seconds=2)
    delay: Duration = timedelta(milliseconds=20)

    @model_validator(mode="after")
    def _has_its_object(self) -> EventSection:
        if self.what == "slow":
            if self.hop not in HOPS:
                expected = f"the hop that is slow, one of {', '.join(HOPS)}"
                raise Misfit(
                    repr(self.hop), expected, at=".hop", suggestion=nearest(self.hop, HOPS)
                )
        elif not self.process:
            raise Misfit("nothing", f"the process to {self.what}, such as ingest-2", at=".process")
        return self


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
    factor: float = Field(default=1.6, gt=1)
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
    """

    load: str
    within: Duration
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
        slowest_hop: the hop that must have taken the most time at p50, beyond its usual.
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


class Scenario(Section):
    """A whole file.

    Attributes:
        description: what it shows, in a sentence.
        mesh: the mesh that it runs against, if it is given none.
        loads: what is called.
        events: what happens to the mesh meanwhile.
        search: the rate that is looked for; None for loads at the rates that they name.
        verdict: what is good enough.
    """

    description: str = Field(min_length=1)
    mesh: MeshSection = MeshSection()
    loads: list[LoadSection] = Field(min_length=1)
    events: list[EventSection] = []
    search: SearchSection | None = None
    verdict: VerdictSection = VerdictSection()

    @model_validator(mode="after")
    def _parts_fit(self) -> Scenario:
        names = [load.name for load in self.loads]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise Misfit(repr(name), "each name once", at=f".loads[{place}].name")
        wanted = [
            (f".verdict.recovery[{place}].load", recovery.load)
            for place, recovery in enumerate(self.verdict.recovery)
        ]
        if self.search is not None and self.search.load:
            wanted.append((".search.load", self.search.load))
        for at, name in wanted:
            if name not in names:
                expected = f"a load: {', '.join(names)}"
                raise Misfit(repr(name), expected, at=at, suggestion=nearest(name, names))
        for place, load in enumerate(self.loads):
            if self.search is None and not (load.duration or load.total):
                raise Misfit("neither", "duration, or total", at=f".loads[{place}]")
        if self.verdict.exactly_once and not self.of_kind(LoadKind.SUBMIT):
            raise Misfit(
                "no load that submits", "a load of kind submit", at=".verdict.exactly-once"
            )
        if self.search is not None and len(self.loads) > 1:
            raise Misfit(f"{len(names)} loads", "one load where there is a search", at=".loads")
        return self

    def of_kind(self, kind: LoadKind) -> list[LoadSection]:
        """Returns the loads of a kind."""
        return [load for load in self.loads if load.kind is kind]

    def load(self, name: str) -> LoadSection:
        """Returns the load of a name; the first for an empty one."""
        return next(load for load in self.loads if load.name == name or not name)

    def scaled(self, factor: float) -> Scenario:
        """Returns the same with all times of its course multiplied."""
        search = self.search
        return self.model_copy(
            update={
                "loads": [load.scaled(factor) for load in self.loads],
                "events": [
                    event.model_copy(
                        update={"at": event.at * factor, "lasting": event.lasting * factor}
                    )
                    for event in self.events
                ],
                "search": search and search.model_copy(update={"step": search.step * factor}),
                "verdict": self.verdict.model_copy(
                    update={
                        "recovery": [
                            one.model_copy(
                                update={"after": None if one.after is None else one.after * factor}
                            )
                            for one in self.verdict.recovery
                        ]
                    }
                ),
            }
        )

    def lasting(self, length: timedelta) -> Scenario:
        """Returns the same with loads of another length, each from its own start on."""
        loads = [load.model_copy(update={"duration": length}) for load in self.loads]
        return self.model_copy(update={"loads": loads})


def read_scenario(file: Path) -> Scenario:
    """Returns what a file says.

    Raises:
        LoadError: it cannot be read, or says what no scenario can; every problem is told, with
            its place and the nearest valid name.
    """
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise LoadError(f"the scenario {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise LoadError(f"the scenario {file} is no TOML: {error}") from error
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(str(problem) for problem in problems_of(Scenario, content, error))
        raise LoadError(f"{file}: {problems}") from error
