"""What was measured at one rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GATEWAY = "gateway"
"""The service that makes convoys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One rate, measured.

    Attributes:
        rate: predictions a second.
        cores: cores used by service: seconds of CPU a second.
        processes: processes by service.
        p99_ns: latency of 99 % of the calls, in nanoseconds.
        held: whether that was within the p99 that is asked for.
        generator: cores that the generator used.
        machine: cores that this machine used, all processes together; 0 where the deployment runs
            elsewhere.
        machine_cores: cores that it has.
        convoy_rows: mean rows of a convoy; 0 if unknown.
        hop_ms: mean time in hops, by hop, in milliseconds.
    """

    rate: float
    cores: Mapping[str, float]
    processes: Mapping[str, int]
    p99_ns: int
    held: bool = True
    generator: float = 0.0
    machine: float = 0.0
    machine_cores: int = 0
    convoy_rows: float = 0.0
    hop_ms: Mapping[str, float]

    @property
    def convoys(self) -> float:
        """Convoys a second; 0 if unknown."""
        return self.rate / self.convoy_rows if self.convoy_rows else 0.0

    @property
    def gateways(self) -> int:
        """Processes of the gateway; 1 if it is not among what was read."""
        return self.processes.get(GATEWAY, 1)

    @property
    def busiest(self) -> tuple[str, float]:
        """The service whose processes were busiest, and the share of a core that each used."""
        shares = {name: used / self.processes[name] for name, used in self.cores.items()}
        name = max(shares, key=lambda each: shares[each])
        return name, shares[name]

    @property
    def machine_share(self) -> float:
        """Share of the machine's cores that was used, 0 to 1; 0 if it runs elsewhere."""
        return self.machine / self.machine_cores if self.machine_cores else 0.0

    @property
    def others(self) -> float:
        """Cores of this machine that were used by neither the deployment nor the generator."""
        if not self.machine_cores:
            return 0.0
        return max(0.0, self.machine - sum(self.cores.values()) - self.generator)

    @property
    def utilisation(self) -> float:
        """How busy what was busiest was, 0 to 1: a process on its core, or the machine."""
        return max(self.busiest[1], self.machine_share)
