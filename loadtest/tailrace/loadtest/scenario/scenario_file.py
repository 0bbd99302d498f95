"""A scenario file: which loads, what happens meanwhile, and what is good enough."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.scenario.load_section import LoadKind, LoadSection
from tailrace.loadtest.scenario.mesh_section import EventSection, MeshSection, Section
from tailrace.loadtest.scenario.verdict_section import SearchSection, VerdictSection
from tailrace.runtime.pipeline.base import Misfit
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.pipeline.validation import problems_of


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
        wanted += [
            (f".verdict.recovery[{place}].before", recovery.before)
            for place, recovery in enumerate(self.verdict.recovery)
            if recovery.before
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
        if self.verdict.exactly_once and not self.counted:
            expected = "a load of kind submit, without data of its own"
            raise Misfit("no load that is counted", expected, at=".verdict.exactly-once")
        if self.search is not None and self.search.start > self.search.max_rps:
            expected = f"no more than max-rps, {self.search.max_rps:g}"
            raise Misfit(f"{self.search.start:g}", expected, at=".search.start")
        if self.search is not None and len(self.loads) > 1:
            raise Misfit(f"{len(names)} loads", "one load where there is a search", at=".loads")
        return self

    def of_kind(self, kind: LoadKind) -> list[LoadSection]:
        """Returns the loads of a kind."""
        return [load for load in self.loads if load.kind is kind]

    @property
    def counted(self) -> list[LoadSection]:
        """The loads whose submissions go to the scenario's own receiver."""
        return [load for load in self.of_kind(LoadKind.SUBMIT) if not load.own_data]

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
        raise LoadError(
            f"the scenario {file} cannot be read: {error.strerror}",
            "--list names those that there are",
        ) from error
    except ValueError as error:
        raise LoadError(
            f"the scenario {file} is no TOML: {error}", "mend the line that it names"
        ) from error
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(str(problem) for problem in problems_of(Scenario, content, error))
        raise LoadError(
            f"{file}: {problems}", "docs/load-testing.md lists what a scenario says"
        ) from error
