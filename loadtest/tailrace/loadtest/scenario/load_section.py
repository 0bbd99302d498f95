"""One load of a scenario file: ghz's keys, and what they are about."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import DurationStop, LoadOptions, Schedule
from tailrace.loadtest.verdict.objective import parse_objective
from tailrace.runtime.pipeline.base import Misfit, Name, SpecModel
from tailrace.runtime.pipeline.duration import Duration

_ZERO = timedelta()
PREDICT = "tailrace.v1.PredictionService.Predict"
SUBMIT = "tailrace.v1.PredictionService.SubmitPrediction"
INGEST_EVENTS = "tailrace.v1.EventService.IngestEvents"


class LoadKind(StrEnum):
    """What is called: predictions, submissions, events, or any method, with the file's own data."""

    PREDICT = "predict"
    SUBMIT = "submit"
    EVENTS = "events"
    CALL = "call"


METHODS = {
    LoadKind.PREDICT: PREDICT,
    LoadKind.SUBMIT: SUBMIT,
    LoadKind.EVENTS: INGEST_EVENTS,
}


def kebab(name: str) -> str:
    """Returns how a field's name is written in files."""
    return name.rstrip("_").replace("_", "-")


class LoadSection(SpecModel):
    """A load. What stands below `slo` are ghz's keys, with ghz's meaning.

    With a rate, calls are made when they are due (`async`), unless the file says otherwise.

    Attributes:
        name: what it is called.
        kind: what is called.
        pipeline: name of the pipeline; of predictions and submissions.
        priority: how important its predictions are.
        rows: how many different rows it asks for.
        batch: events of one message.
        start: when it begins, after the scenario's begin.
        judged: whether the pipeline's SLO is held against it.
        slo: objectives of its own, such as `errors<0.1%`.
    """

    model_config = ConfigDict(alias_generator=kebab)

    name: Name
    kind: LoadKind = LoadKind.PREDICT
    pipeline: str = ""
    priority: Literal["critical", "normal", "sheddable", "background"] = "normal"
    rows: int = Field(default=1000, ge=1, le=100_000)
    batch: int = Field(default=20, ge=1, le=1000)
    start: Duration = _ZERO
    judged: bool = True
    slo: list[str] = []

    call: str = ""
    data: str = ""
    data_file: Path | None = None
    metadata: str = ""
    protoset: Path | None = None
    rps: float = Field(default=0.0, ge=0)
    async_: bool | None = None
    load_schedule: Schedule = Schedule.CONST
    load_start: float = 0.0
    load_step: float = 0.0
    load_end: float = 0.0
    load_step_duration: Duration = _ZERO
    load_max_duration: Duration = _ZERO
    concurrency: int = Field(default=50, ge=1)
    total: int = Field(default=0, ge=0)
    duration: Duration = _ZERO
    duration_stop: DurationStop = DurationStop.WAIT
    timeout: Duration = timedelta(seconds=2)
    connections: int = Field(default=4, ge=1)
    cpus: int = Field(default=1, ge=1)
    seed: int | None = None

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> LoadSection:
        of_pipeline = self.kind in (LoadKind.PREDICT, LoadKind.SUBMIT)
        if of_pipeline and not self.pipeline:
            raise Misfit("nothing", f"the pipeline that is to {self.kind}", at=".pipeline")
        if self.kind is LoadKind.CALL and not self.call:
            raise Misfit(
                "nothing", "the method to call, such as package.Service.Method", at=".call"
            )
        if self.kind is not LoadKind.CALL and self.call:
            raise Misfit(repr(self.call), f"no method of its own for kind {self.kind}", at=".call")
        if self.kind is LoadKind.EVENTS and (self.data or self.data_file):
            raise Misfit("data", "none for kind events: it sends the example's", at=".data")
        for place, text in enumerate(self.slo):
            try:
                parse_objective(text)
            except LoadError as error:
                raise Misfit(
                    repr(text), error.hint or error.problem, at=f".slo[{place}]"
                ) from error
        if self.data and self.data_file:
            raise Misfit("both", "either data or data-file", at=".data-file")
        return self

    @property
    def own_data(self) -> bool:
        """True if the file says what is sent."""
        return bool(self.data or self.data_file)

    def scaled(self, factor: float) -> LoadSection:
        """Returns the same with all times of its course multiplied."""
        names = ("start", "duration", "load_step_duration", "load_max_duration")
        update: dict[str, object] = {name: getattr(self, name) * factor for name in names}
        # Of a total, a call at least stays: 0 would be a load without an end.
        total = max(1, round(self.total * factor)) if self.total else 0
        return self.model_copy(update=update | {"total": total})

    def options(self, host: str) -> LoadOptions:
        """Returns the load test, as far as the file says it.

        Args:
            host: `HOST:PORT` of what is called.
        """
        paced = self.rps > 0 or self.load_schedule is not Schedule.CONST
        return LoadOptions(
            host=host,
            call=self.call or METHODS[self.kind],
            insecure=True,
            protoset=self.protoset,
            async_=paced if self.async_ is None else self.async_,
            rps=self.rps,
            load_schedule=self.load_schedule,
            load_start=self.load_start,
            load_step=self.load_step,
            load_end=self.load_end,
            load_step_duration=self.load_step_duration.total_seconds(),
            load_max_duration=self.load_max_duration.total_seconds(),
            concurrency=self.concurrency,
            total=self.total,
            duration=self.duration.total_seconds(),
            duration_stop=self.duration_stop,
            timeout=self.timeout.total_seconds(),
            data=self.data,
            data_file=self.data_file,
            metadata=self.metadata,
            connections=self.connections,
            cpus=self.cpus,
            seed=self.seed,
            name=self.name,
            slo=tuple(self.slo),
            progress="off",
        )
