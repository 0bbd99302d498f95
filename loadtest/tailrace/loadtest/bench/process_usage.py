"""CPU time and memory of the processes of a benchmark, their children included."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import psutil

Usage = dict[str, float]

MACHINE = "machine"
"""The name of the whole machine among the processes."""


class ProcessUsage:
    """Reads what named processes have used.

    Their children are looked for once, as that takes longer than reading. A process that ends
    later ends the measurement.
    """

    def __init__(self, pids: Mapping[str, Iterable[int]]) -> None:
        """Finds the processes.

        Args:
            pids: ids by name; their children of this moment count as they do.

        Raises:
            psutil.NoSuchProcess: there is none of that id.
        """
        self._processes = {
            name: _with_children([psutil.Process(pid) for pid in own]) for name, own in pids.items()
        }

    def cpu_s(self) -> Usage:
        """Returns the CPU time, user and system, by name, in seconds since the start.

        Under `MACHINE` stands what all processes there are have used together, and what the
        hypervisor gave to other machines.
        """
        machine = psutil.cpu_times()
        stolen = getattr(machine, "steal", 0.0)
        used = {MACHINE: machine.user + machine.nice + machine.system + stolen}
        for name, processes in self._processes.items():
            used[name] = sum([_cpu_s(process) for process in processes])
        return used

    def resident_bytes(self) -> Usage:
        """Returns the resident memory by name, in bytes; shared pages count for each process."""
        return {
            name: float(sum(process.memory_info().rss for process in processes))
            for name, processes in self._processes.items()
        }


def used_between(before: Usage, after: Usage) -> Usage:
    """Returns what was used between two readings, by name."""
    return {name: after[name] - before[name] for name in after}


def _cpu_s(process: psutil.Process) -> float:
    # The clock of a process (clock_getcpuclockid(3), CPUCLOCK_SCHED) tells nanoseconds; /proc,
    # which psutil reads, hundredths of a second.
    try:
        return time.clock_gettime((~process.pid << 3) | 2)
    except OSError:
        times = process.cpu_times()
        return times.user + times.system


def _with_children(roots: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = []
    for root in roots:
        found += [root, *root.children(recursive=True)]
    return found
