"""The mesh of a scenario file, and what happens to it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from tailrace.loadtest.scenario.load_section import kebab
from tailrace.runtime.pipeline.base import Misfit, SpecModel
from tailrace.runtime.pipeline.duration import Duration
from tailrace.runtime.pipeline.problem import nearest
from tailrace.runtime.placement import HOPS


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
