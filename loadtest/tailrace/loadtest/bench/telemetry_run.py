"""What `make bench-telemetry` does once everything is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tailrace.cli.held_out import read_held_out
from tailrace.cli.preparation import PreparedExample
from tailrace.client.values import to_value
from tailrace.loadtest.bench.flights import FIELDS
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Endpoint, Order
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.plain_chain.flight_row import PIPELINE
from tailrace.loadtest.bench.process_usage import ProcessUsage, used_between
from tailrace.loadtest.bench.slices import Slice, slice_of
from tailrace.loadtest.bench.telemetry_ratios import Pairs
from tailrace.loadtest.bench.telemetry_servers import COUNTERPARTS, TelemetryServers
from tailrace.loadtest.bench.telemetry_variants import OFF, turns_of
from tailrace.runtime.placement import HOPS
from tailrace.v1 import ledger_pb2, prediction_service_pb2

SERVICES = ("gateway", *HOPS)
"""The processes of a mesh, as the ends of their names."""

_SERVICE = "/tailrace.v1.PredictionService"
_FLIGHTS = 400
_CONNECTIONS = 8
_RAMP_S = 0.3
_WARM_S = 1.5


@dataclass(slots=True)
class LoadResults:
    """What came of one load.

    Attributes:
        rate: predictions per second.
        rows: of one message; they travel as one convoy.
        pairs: by variant.
        convoy_sizes: requests of the convoys that a sample of all requests travelled in.
    """

    rate: float
    rows: int = 1
    pairs: dict[str, Pairs] = field(default_factory=dict)
    convoy_sizes: list[int] = field(default_factory=list)

    def slices(self) -> list[Slice]:
        """Returns all slices, those of `off` once for each variant that was beside them."""
        return [one for pair in self.pairs.values() for one in (*pair.variant, *pair.off)]


Planned: TypeAlias = tuple[LoadResults, Sequence[str]]
"""A load, and the names of the variants that are measured under it, beside `off`."""


class TelemetryRun:
    """Measures all variants in turn, at a fixed rate each."""

    def __init__(
        self, servers: TelemetryServers, generators: Generators, folder: Path, seconds: float
    ) -> None:
        """Takes what is measured and what measures.

        Args:
            servers: all of them up.
            generators: make the load.
            folder: for messages.
            seconds: length of a slice.
        """
        self._servers = servers
        self._generators = generators
        self._seconds = seconds
        self._usage = ProcessUsage({**servers.pids(), "generator": generators.pids})
        self._folder = folder

    async def prepare(self, prepared: PreparedExample, loads: Sequence[Planned]) -> None:
        """Writes what is asked for, with the answers of `off`, and warms every mesh up."""
        requests = flight_requests(prepared)
        for load, names in loads:
            messages = Messages(messages_of(requests, load.rows))
            messages.write(self._file(load))
            endpoint = self._endpoint(OFF.name, load)
            order = Order(work="scores", endpoint=endpoint, messages=len(messages.data))
            scores = await self._generators.scores(order)
            # From here on a sample of all answers is compared with these.
            places = range(0, len(scores), load.rows)
            expected = [scores[place : place + load.rows] for place in places]
            Messages(messages.data, expected).write(self._file(load))
            for name in (OFF.name, *names):
                await self._measure(name, load, _WARM_S)

    async def compare(
        self,
        loads: Sequence[Planned],
        pairs: int,
        ends_s: float,
        tell: Callable[[str], None],
    ) -> None:
        """Measures rounds: as many pairs of each variant and `off`, or fewer if time runs out.

        How many there were is told with each variant.

        Args:
            loads: all of them.
            pairs: how many.
            ends_s: after which no round begins, in seconds of the monotonic clock.
            tell: is told how far it has come.
        """
        for repeat in range(pairs):
            # One at least, whatever the start took.
            if repeat and time.monotonic() > ends_s:
                tell(f"out of time after {repeat} pairs")
                return
            for results, names in loads:
                tell(f"pair {repeat + 1} of {pairs}, {results.rows} a message")
                await self._round(results, names, repeat)

    def resident_bytes(self) -> dict[str, float]:
        """Returns the resident memory of every process, by name."""
        return self._usage.resident_bytes()

    async def _round(self, results: LoadResults, names: Sequence[str], repeat: int) -> None:
        measured: dict[str, Slice] = {}
        beside: dict[str, Slice] = {}
        for turn in turns_of(names, repeat):
            one, convoy_sizes = await self._measure(turn.variant, results, self._seconds)
            results.convoy_sizes += convoy_sizes
            if turn.variant != OFF.name:
                measured[turn.variant] = one
                continue
            beside |= dict.fromkeys(turn.beside, one)
        for name, one in measured.items():
            results.pairs.setdefault(name, Pairs()).add(one, beside[name])

    async def _measure(
        self, name: str, load: LoadResults, seconds: float
    ) -> tuple[Slice, list[int]]:
        """Returns a slice of one mesh under load, and the sizes of a sample of convoys."""
        order = Order(
            work="open",
            endpoint=self._endpoint(name, load),
            rate=load.rate / load.rows,
            connections=_CONNECTIONS,
            ramp_s=_RAMP_S,
            seconds=seconds,
        )
        before, begun_s = self._usage.cpu_s(), time.monotonic()
        outcome = await self._generators.load(order)
        elapsed_s = time.monotonic() - begun_s
        used = used_between(before, self._usage.cpu_s())
        processes = (
            *(f"{name} {service}" for service in SERVICES), "redis", "triton", COUNTERPARTS,
        )  # fmt: skip
        one = slice_of(outcome, seconds, used, processes, elapsed_s)
        return one, outcome.convoy_rows

    def _endpoint(self, name: str, load: LoadResults) -> Endpoint:
        return Endpoint(
            target=self._servers.meshes[name]["gateway"].target,
            method=f"{_SERVICE}/{'Predict' if load.rows == 1 else 'PredictBatch'}",
            messages_file=str(self._file(load)),
            answers="mesh" if load.rows == 1 else "mesh_batch",
            rows=load.rows,
            placement=int(ledger_pb2.PLACEMENT_REMOTE),
        )

    def _file(self, load: LoadResults) -> Path:
        return self._folder / f"flights-{load.rows}.json"


def flight_requests(
    prepared: PreparedExample,
) -> list[prediction_service_pb2.PredictRequest]:
    """Returns requests for held-out flights."""
    section = prepared.example.manifest.held_out
    assert section is not None
    rows = read_held_out(prepared.folder / section.file, section, FIELDS, _FLIGHTS)
    found = []
    for row in rows:
        fields = {name: to_value(value, name) for name, value in row.fields.items()}
        found.append(prediction_service_pb2.PredictRequest(pipeline=PIPELINE, fields=fields))
    return found


def messages_of(
    requests: Sequence[prediction_service_pb2.PredictRequest], rows: int
) -> list[bytes]:
    """Returns serialised messages of as many requests each, unary ones or batches."""
    if rows == 1:
        return [request.SerializeToString() for request in requests]
    return [
        prediction_service_pb2.PredictBatchRequest(
            requests=requests[first : first + rows]
        ).SerializeToString()
        for first in range(0, len(requests) - rows + 1, rows)
    ]


def mean_convoy(sizes: Sequence[int]) -> float:
    """Returns the mean number of requests per convoy.

    Args:
        sizes: of the convoys that a sample of requests travelled in, in which a convoy of n
            requests is n times as likely.
    """
    return len(sizes) / sum(1 / size for size in sizes) if sizes else 0.0
