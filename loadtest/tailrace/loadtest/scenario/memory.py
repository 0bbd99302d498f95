"""How much memory the mesh's processes have while a load lasts."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import psutil

from tailrace.loadtest.bench.process_usage import ProcessUsage

_EVERY_S = 0.5
_MB = 1e6


@dataclass(slots=True)
class MemorySeries:
    """Resident memory by time.

    Attributes:
        readings: when, in seconds on the monotonic clock, and how many bytes by process.
    """

    readings: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    async def watch(self, usage: ProcessUsage) -> None:
        """Reads until it is cancelled, or a process is gone."""
        while True:
            try:
                self.readings.append((time.monotonic(), usage.resident_bytes()))
            except psutil.NoSuchProcess:
                return
            await asyncio.sleep(_EVERY_S)

    def thirds(self) -> dict[str, tuple[float, float]]:
        """Returns the mean of the first and the last third by process, in bytes."""
        third = len(self.readings) // 3
        if not third:
            return {}
        first, last = self.readings[:third], self.readings[-third:]
        return {
            name: (
                sum(each[name] for _, each in first) / third,
                sum(each[name] for _, each in last) / third,
            )
            for name in self.readings[0][1]
        }


@dataclass(frozen=True, slots=True)
class Growth:
    """How memory of a process grew.

    Attributes:
        process: its name.
        first_bytes: mean of the first third.
        last_bytes: mean of the last third.
        allowed: True if that is not too much.
    """

    process: str
    first_bytes: float
    last_bytes: float
    allowed: bool

    @property
    def text(self) -> str:
        """The growth in words."""
        grown = self.last_bytes / self.first_bytes - 1
        return (
            f"memory of {self.process} {self.first_bytes / _MB:.1f} MB, then "
            f"{self.last_bytes / _MB:.1f} MB ({grown:+.1%})"
        )


def growths(series: MemorySeries, percent: float, slack_mb: float) -> list[Growth]:
    """Returns how memory of each process grew.

    Args:
        series: of the load.
        percent: growth that is allowed.
        slack_mb: growth that always is, in MB.
    """
    return [
        Growth(name, first, last, last - first <= max(first * percent / 100, slack_mb * _MB))
        for name, (first, last) in series.thirds().items()
    ]
