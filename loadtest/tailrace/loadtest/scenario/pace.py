"""How fast the machine was while a load lasted, and what was left of it for the mesh.

A mesh that became slower and a machine that became slower look alike from outside. What tells them
apart is a fixed piece of work: the CPU time that it takes is the machine's alone, as no other
process can add to it but by slowing the core that they share. And what others take of the cores,
the mesh has to wait for.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from tailrace.loadtest.bench.process_usage import MACHINE, ProcessUsage

_EVERY_S = 0.5
# The fastest of so many counts: it was not interrupted, and found its caches warm.
_TRIES = 3
_ITEMS = 200
# Readings around each whose median is the pace there: a single one varies by a tenth.
_AROUND = 2
MIN_READINGS = 5
"""Of a time that is told of; fewer say too little."""

# A machine as busy as this has no core to spare; what a queue then takes, nobody can tell.
_FULL = 0.95
_SLOWEST = 1 / (1 - _FULL)


@dataclass(frozen=True, slots=True)
class Reading:
    """What had been used at an instant.

    Attributes:
        at: when, in seconds on the monotonic clock.
        work_s: CPU time that the fixed piece of work took just then, in seconds.
        machine_s: CPU time of all processes so far, in seconds.
        mesh_s: CPU time of each process of the mesh so far, in seconds.
    """

    at: float
    work_s: float
    machine_s: float
    mesh_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class Pace:
    """The machine during a time, over its readings.

    Attributes:
        seconds: length of the time.
        work_s: CPU time of the fixed piece of work, in seconds: around each reading, shape (n,).
        others: cores used by all but the mesh, the generator included, shape (n,).
        mesh_s: CPU time of the mesh's processes by name, in seconds.
    """

    seconds: float
    work_s: Sequence[float]
    others: Sequence[float]
    mesh_s: dict[str, float]

    @property
    def work(self) -> float:
        """The median of `work_s`."""
        return statistics.median(self.work_s)

    @property
    def other_cores(self) -> float:
        """The mean of `others`."""
        return statistics.fmean(self.others)

    @property
    def mesh_cores(self) -> float:
        """Cores used by the mesh, as a mean."""
        return sum(self.mesh_s.values()) / self.seconds


@dataclass(slots=True)
class PaceSeries:
    """The machine by time.

    Attributes:
        readings: in order of time.
        cores: of the machine.
    """

    readings: list[Reading] = field(default_factory=list)
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)

    async def watch(self, usage: ProcessUsage) -> None:
        """Reads until it is cancelled, or a process is gone."""
        while True:
            try:
                used = usage.cpu_s()
            except psutil.NoSuchProcess:
                return
            machine_s = used.pop(MACHINE)
            self.readings.append(Reading(time.monotonic(), work_s(), machine_s, used))
            await asyncio.sleep(_EVERY_S)

    def between(self, begin: float, end: float) -> Pace | None:
        """Returns how it was in a time; None if there are fewer than `MIN_READINGS` of it.

        Args:
            begin: in seconds on the monotonic clock.
            end: the same.
        """
        places = [place for place, one in enumerate(self.readings) if begin <= one.at <= end]
        if len(places) < MIN_READINGS:
            return None
        found = [self.readings[place] for place in places]
        first, last = found[0], found[-1]
        return Pace(
            seconds=last.at - first.at,
            work_s=[self._work_around(place) for place in places[1:]],
            others=[_others(*pair) for pair in zip(found, found[1:], strict=False)],
            mesh_s={name: last.mesh_s[name] - used for name, used in first.mesh_s.items()},
        )

    def _work_around(self, place: int) -> float:
        around = self.readings[max(0, place - _AROUND) : place + _AROUND + 1]
        return statistics.median([one.work_s for one in around])


@dataclass(frozen=True, slots=True)
class Expected:
    """How many times as long a mesh that has not changed may take at a later time.

    Attributes:
        least: at least; 1 if the machine was no faster, 0 if the mesh had no core to spare at
            first: what calls took then was the machine's doing.
        most: at most; 1 if it was no slower, infinity if it had no core to spare.
    """

    least: float
    most: float


def expected(first: Pace, last: Pace, cores: int, percent: float) -> Expected:
    """Returns how much longer a percentile of latencies may be because of the machine alone.

    A call takes s / (1 - u) in a queue (M/M/1): s its time of service, which follows the fixed
    piece of work, and u how busy the machine is with others and with a mesh that takes what it took
    at first. That is one bound, as what waits for no core follows neither; no change at all is the
    other.

    Args:
        first: the machine at first.
        last: the machine later.
        cores: that it has.
        percent: the percentile, 0 to 100; of moments, too, as bad ones make up the slow calls.
    """
    before, later = (_slowness(pace, first, cores, percent) for pace in (first, last))
    factor = later / before
    crowded = _slowness(first, first, cores, 50) >= _SLOWEST
    return Expected(
        0.0 if crowded else min(1.0, factor), math.inf if later >= _SLOWEST else max(1.0, factor)
    )


def _slowness(pace: Pace, first: Pace, cores: int, percent: float) -> float:
    found = []
    for work_s, others in zip(pace.work_s, pace.others, strict=True):
        service = work_s / first.work
        busy = (others + first.mesh_cores * service) / cores
        found.append(_SLOWEST if busy >= _FULL else service / (1 - busy))
    return sorted(found)[max(0, math.ceil(len(found) * percent / 100) - 1)]


def work_s() -> float:
    """Returns the CPU time that a fixed piece of work takes now, in seconds.

    Some 20 µs, spent on what services in Python do most: small objects made, looked up, dropped.
    """
    return min(_timed_work() for _ in range(_TRIES))


def _timed_work() -> float:
    begin = time.thread_time_ns()
    found = {}
    for number in range(_ITEMS):
        text = str(number)
        found[text] = [number, text]
    return (time.thread_time_ns() - begin) / 1e9


def _others(before: Reading, after: Reading) -> float:
    mesh_s = sum(after.mesh_s[name] - used for name, used in before.mesh_s.items())
    return max(0.0, after.machine_s - before.machine_s - mesh_s) / (after.at - before.at)
