"""What `make bench-submissions` measures, in turn, repeat by repeat."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.flight_messages import messages_of, predict_request, stream_request
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Endpoint
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.mesh_contenders import WIDE_ROWS, Contender, check_scores
from tailrace.loadtest.bench.process_usage import ProcessUsage, used_between
from tailrace.loadtest.bench.ratios import BUSY
from tailrace.loadtest.bench.slices import Bench, Load, Slice
from tailrace.loadtest.bench.submission_loads import (
    MANY_ROWS,
    SubmissionLoad,
    SubmissionSlice,
    slice_of,
    write_messages,
)
from tailrace.loadtest.bench.submission_servers import CALLBACKS, DURABILITIES, SubmissionServers
from tailrace.runtime.placement import HOPS
from tailrace.v1 import ledger_pb2

STREAM = Load("mesh", "wide", 32)
UNARY = Load("mesh", "unary", BUSY)
SYNCHRONOUS = {"stream": STREAM, "unary": UNARY}

_MANY_IN_FLIGHT = 6
_HALF = 0.5
_WARM_S = 1.0

MANY = SubmissionLoad(
    "many", "everysec", "many", MANY_ROWS, _MANY_IN_FLIGHT, 5000, ramp_s=1.5, seconds=3.0
)
SINGLE = SubmissionLoad("single", "everysec", "single", 1, BUSY, 1000, ramp_s=1.5, seconds=3.0)
WEBHOOK = SubmissionLoad("webhook", "everysec", "webhook", 1, BUSY, 1000, ramp_s=1.5, seconds=2.0)


def acknowledgement(durability: str, rows: int) -> SubmissionLoad:
    """Returns the load that shows how much is acknowledged while nobody bounds the backlog."""
    form = "one" if rows == 1 else "many"
    in_flight = BUSY if rows == 1 else _MANY_IN_FLIGHT
    name = f"acknowledge_{form}_{durability}"
    return SubmissionLoad(name, durability, "many", rows, in_flight, seconds=1.5)


PEAKS = {durability: acknowledgement(durability, 1) for durability in DURABILITIES}
LOADS = (
    MANY,
    SINGLE,
    WEBHOOK,
    *PEAKS.values(),
    *(acknowledgement(durability, MANY_ROWS) for durability in DURABILITIES),
)

SubmissionResults = dict[SubmissionLoad, list[SubmissionSlice]]
SynchronousResults = dict[str, list[Slice]]


class SubmissionRun:
    """One run of the benchmark, with everything up but the receiver.

    Attributes:
        synchronous: slices of the synchronous calls, by name.
        submitted: slices of submissions.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        servers: SubmissionServers,
        generators: Generators,
        folder: Path,
        steps: Steps,
    ) -> None:
        """Keeps the parts.

        Args:
            options: of the command line.
            servers: that are up.
            generators: one process.
            folder: for messages.
            steps: shows what goes on.
        """
        self._options = options
        self._servers = servers
        self._generators = generators
        self._folder = folder
        self._steps = steps
        self._loads = [
            load
            for load in LOADS
            if not options.loads or load.name.startswith(tuple(options.loads))
        ]
        self.synchronous: SynchronousResults = {name: [] for name in SYNCHRONOUS}
        self.submitted: SubmissionResults = {}

    async def prepare(self) -> None:
        """Learns the synchronous answers, and starts the receiver, which expects the same."""
        unary = Endpoint(
            target=self._servers.mesh.gateway_target,
            method="/tailrace.v1.PredictionService/Predict",
            messages_file=str(self._folder / "unary.json"),
            answers="mesh",
            placement=int(ledger_pb2.PLACEMENT_REMOTE),
        )
        wide = replace(
            unary,
            method="/tailrace.v1.PredictionService/PredictStream",
            messages_file=str(self._folder / "wide.json"),
            answers="mesh_stream",
            rows=WIDE_ROWS,
        )
        flights = self._servers.flights
        messages_of(flights, 1, predict_request).write(Path(unary.messages_file))
        messages_of(flights, WIDE_ROWS, stream_request).write(Path(wide.messages_file))
        processes = ("gateway", *HOPS, "redis", "triton")
        self._contender = Contender("mesh", unary, wide, processes)
        with self._steps.step("Asking for all answers synchronously"):
            await check_scores([self._contender], wide, self._generators)
            messages = Messages.read(Path(wide.messages_file))
            expected = [score for scores in messages.expected for score in scores]
        with self._steps.step("Starting the receiver"):
            await self._servers.start_receiver(expected)
            for callback in CALLBACKS:
                for rows in (1, MANY_ROWS):
                    write_messages(self._folder, flights[: len(expected)], callback, rows)
        self.usage = ProcessUsage({**self._servers.pids(), "generator": self._generators.pids})
        self._bench = Bench(
            [self._contender],
            self._generators,
            self.usage,
            connections=8,
            ramp_s=self._options.ramp,
            seconds=self._options.seconds,
        )

    async def submit(self, load: SubmissionLoad) -> SubmissionSlice:
        """Returns one slice, once all that was acknowledged is delivered.

        Raises:
            RuntimeError: something is lost, delivered twice, or wrong.
        """
        order = load.order(self._folder, self._servers.targets[load.durability], self._servers.feed)
        cpu_before, begun = self.usage.cpu_s(), time.monotonic()
        outcome = await self._generators.load(order)
        elapsed_s = time.monotonic() - begun
        used = used_between(cpu_before, self.usage.cpu_s())
        return slice_of(load, outcome, await self._servers.taken(), used, elapsed_s)

    async def measure(self) -> None:
        """Measures closed loops, and then open ones at half the peaks found."""
        with self._steps.step("Warming up") as step:
            for each in SYNCHRONOUS.values():
                await self._bench.measure(each, seconds=_WARM_S)
            for load in self._loads:
                step.tell(load.name)
                await self.submit(replace(load, ramp_s=0.0, seconds=_WARM_S))
        with self._steps.step("Closed loops") as step:
            await self._repeat(self._loads, step.tell, beside=True)
        halves = [
            self._half(durability)
            for durability in DURABILITIES
            if PEAKS[durability] in self._loads
        ]
        with self._steps.step("Open loops") as step:
            await self._repeat(halves, step.tell, beside=False)

    def _half(self, durability: str) -> SubmissionLoad:
        peak = PEAKS[durability]
        rates = sorted(one.acknowledged for one in self.submitted[peak])
        rate = _HALF * rates[len(rates) // 2]
        name = f"half_peak_{durability}"
        return replace(peak, name=name, in_flight=0, rate=rate, seconds=3.0)

    async def _repeat(
        self,
        loads: Sequence[SubmissionLoad],
        tell: Callable[[str], None],
        *,
        beside: bool,
    ) -> None:
        repeats = self._options.repeats
        for repeat in range(repeats):
            so_far = f"repeat {repeat + 1} of {repeats}"
            if beside:
                for name, each in SYNCHRONOUS.items():
                    tell(f"{so_far}, {name}")
                    self.synchronous[name].append(await self._bench.measure(each))
            first = repeat % len(loads)
            for load in (*loads[first:], *loads[:first]):
                tell(f"{so_far}, {load.name}")
                self.submitted.setdefault(load, []).append(await self.submit(load))
