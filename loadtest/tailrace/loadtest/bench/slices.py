"""Measures contenders in turn, repeat by repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from tailrace.loadtest.bench.generator.orders import Order, Outcome
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.mesh_contenders import Contender
from tailrace.loadtest.bench.process_usage import MACHINE, ProcessUsage, used_between

Mode: TypeAlias = Literal["unary", "wide", "open_own", "open_shared"]


@dataclass(frozen=True, slots=True)
class Load:
    """One load on one contender.

    Attributes:
        contender: its name.
        mode: one row per call or many, in a closed loop; or an open loop, at a share of the
            contender's own peak or at a rate that several have in common.
        in_flight: messages in flight; 0 in an open loop.
        rate: messages per second; 0 in a closed loop.
    """

    contender: str
    mode: Mode
    in_flight: int = 0
    rate: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Slice:
    """One load's part of one repeat.

    Attributes:
        p50_ms: median latency of messages.
        p99_ms: 99th percentile.
        rate: rows answered per second.
        failed: rows without an answer, by status; they are in none of the other figures.
        wrong: rows of the sample with another score than expected.
        degraded: the same, where the answer calls itself degraded.
        checked: rows of the sample.
        convoy_rows: median of requests per convoy over the sample; 0 without convoys.
        cpu_us: CPU time per row answered of each process that works for the contender, and of
            the generator, in microseconds.
        idle_cores: cores that the other contenders' processes took.
        outside_cores: cores that processes outside the benchmark took; the benchmark is to run
            where nothing else does.
    """

    p50_ms: float
    p99_ms: float
    rate: float
    failed: Mapping[str, int]
    wrong: int
    degraded: int
    checked: int
    convoy_rows: float
    cpu_us: Mapping[str, float]
    idle_cores: float
    outside_cores: float


Results: TypeAlias = dict[Load, list[Slice]]


class Bench:
    """What measures, and how long at a time."""

    def __init__(
        self,
        contenders: Sequence[Contender],
        generators: Generators,
        usage: ProcessUsage,
        *,
        connections: int,
        ramp_s: float,
        seconds: float,
    ) -> None:
        """Takes what is measured and what measures.

        Args:
            contenders: all of them.
            generators: make the load; their usage goes by the name `generator`.
            usage: of all processes.
            connections: most connections to one contender.
            ramp_s: how long a load runs before it is measured.
            seconds: how long it is measured.
        """
        self._contenders = {contender.name: contender for contender in contenders}
        self._generators = generators
        self._usage = usage
        self._connections = connections
        self._ramp_s = ramp_s
        self._seconds = seconds

    async def measure(self, load: Load, seconds: float = 0.0) -> Slice:
        """Returns one slice; `seconds` may differ from the usual."""
        contender = self._contenders[load.contender]
        endpoint = contender.wide if load.mode == "wide" else contender.unary
        assert endpoint is not None
        order = Order(
            work="open" if load.rate else "closed",
            endpoint=endpoint,
            in_flight=load.in_flight,
            rate=load.rate,
            connections=self._connections,
            ramp_s=self._ramp_s,
            seconds=seconds or self._seconds,
        )
        cpu_before, begun = self._usage.cpu_s(), time.monotonic()
        outcome = await self._generators.load(order)
        elapsed_s = time.monotonic() - begun
        used = used_between(cpu_before, self._usage.cpu_s())
        return slice_of(outcome, order.seconds, used, contender.processes, elapsed_s)

    async def compare(
        self, loads: Sequence[Load], repeats: int, tell: Callable[[str], None]
    ) -> Results:
        """Returns the slices of every load, interleaved repeat by repeat.

        Args:
            loads: of the same mode and width side by side.
            repeats: how often each.
            tell: is told how far it has come.
        """
        results: Results = {load: [] for load in loads}
        for repeat in range(repeats):
            for load in in_turn(loads, repeat):
                tell(f"repeat {repeat + 1} of {repeats}, {load.contender}, {load.mode}")
                results[load].append(await self.measure(load))
        return results


def in_turn(loads: Sequence[Load], repeat: int) -> list[Load]:
    """Returns the loads with those that are compared side by side, nobody always first."""
    groups: dict[tuple[Mode, int], list[Load]] = {}
    for load in loads:
        groups.setdefault((load.mode, load.in_flight), []).append(load)
    ordered = []
    for group in groups.values():
        first = repeat % len(group)
        ordered += group[first:] + group[:first]
    return ordered


def slice_of(
    outcome: Outcome,
    seconds: float,
    used_cpu_s: Mapping[str, float],
    processes: Sequence[str],
    elapsed_s: float,
) -> Slice:
    """Returns the figures of an outcome.

    Args:
        outcome: of all generators.
        seconds: how long was measured.
        used_cpu_s: CPU time by process and of the machine, from the first row to the last.
        processes: those that work for the contender.
        elapsed_s: from the first row to the last.

    Raises:
        RuntimeError: nothing was answered in the measured time.
    """
    if not outcome.latencies_us:
        raise RuntimeError(f"no answer in {seconds:g} s; failed: {outcome.failed}")
    p50, p99 = np.percentile(outcome.latencies_us, [50, 99]) / 1e3
    own = (*processes, "generator")
    known = sum(used for name, used in used_cpu_s.items() if name != MACHINE)
    others = known - sum(used_cpu_s[name] for name in own)
    return Slice(
        p50_ms=float(p50),
        p99_ms=float(p99),
        rate=outcome.counted / seconds,
        failed=outcome.failed,
        wrong=outcome.wrong,
        degraded=outcome.degraded,
        checked=outcome.checked,
        convoy_rows=float(np.median(outcome.convoy_rows)) if outcome.convoy_rows else 0.0,
        cpu_us={name: used_cpu_s[name] / outcome.answered * 1e6 for name in own},
        idle_cores=others / elapsed_s,
        outside_cores=max(0.0, used_cpu_s[MACHINE] - known) / elapsed_s,
    )
