"""Who used the machine that mesh and generator share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from tailrace.loadtest.bench.process_usage import MACHINE, ProcessUsage, used_between
from tailrace.loadtest.measure.run_result import RunResult


@dataclass(frozen=True, slots=True)
class MachineUse:
    """Cores of a machine, as means over a time.

    Attributes:
        cores: that it has.
        used: by all processes.
        mesh: by those of the mesh.
        generator: by those that made the load.
    """

    cores: int
    used: float
    mesh: float
    generator: float

    @property
    def others(self) -> float:
        """Cores used by neither."""
        return max(0.0, self.used - self.mesh - self.generator)

    @property
    def text(self) -> str:
        """The use in words."""
        return (
            f"of this machine's {self.cores} cores, {self.used:.2f} were busy: the mesh "
            f"{self.mesh:.2f}, the generator {self.generator:.2f}, other programs {self.others:.2f}"
        )


class MachineWatch:
    """Measures from its making on."""

    def __init__(self, usage: ProcessUsage) -> None:
        """Begins.

        Args:
            usage: of the mesh's processes that are not meant to end.
        """
        self._usage = usage
        self._began = time.monotonic()
        self._before = usage.cpu_s()

    def use(self, results: Iterable[RunResult]) -> MachineUse | None:
        """Returns who used the machine until now; None if a process of the mesh is gone.

        Args:
            results: of the loads that were made meanwhile.
        """
        try:
            used = used_between(self._before, self._usage.cpu_s())
        except psutil.NoSuchProcess:
            return None
        seconds = time.monotonic() - self._began
        whole = used.pop(MACHINE)
        return MachineUse(
            cores=os.cpu_count() or 1,
            used=whole / seconds,
            mesh=sum(used.values()) / seconds,
            generator=sum(result.tally.cpu_ns for result in results) / 1e9 / seconds,
        )
