"""The ratios of `make bench-telemetry`, each of neighbours in time, and what they are to reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tailrace.loadtest.bench.ratios import Bar
from tailrace.loadtest.bench.slices import Slice
from tailrace.loadtest.bench.spread import Spread

BARS = {
    "cpu_sampled_over_off": Bar(1.05, False),
    "latency_hung_over_off_p50": Bar(1.05, False),
}
"""By name of the ratio; others are information."""

_LATENCIES = ("control", "all", "hung")


@dataclass(slots=True)
class Pairs:
    """Neighbouring slices of a variant and of `off`, under one load.

    Attributes:
        variant: its slices.
        off: those of `off`, each measured next to the variant's at the same place.
    """

    variant: list[Slice] = field(default_factory=list)
    off: list[Slice] = field(default_factory=list)

    def add(self, variant: Slice, off: Slice) -> None:
        """Takes one pair more."""
        self.variant.append(variant)
        self.off.append(off)

    def ratio(self, figure: Callable[[Slice], float]) -> Spread:
        """Returns the ratios of a figure, pair by pair."""
        pairs = zip(self.variant, self.off, strict=True)
        return Spread.of([figure(one) / figure(other) for one, other in pairs])


def mesh_cpu_us(one: Slice, services: Iterable[str]) -> float:
    """Returns the CPU time per prediction of a mesh's own processes, in microseconds.

    Args:
        one: the slice.
        services: what they are called at the end of their names; others, such as Triton and the
            load generator, are no part of it.
    """
    ends = tuple(f" {service}" for service in services)
    return sum(used for name, used in one.cpu_us.items() if name.endswith(ends))


def ratios_of(
    pairs: Mapping[str, Pairs], services: Iterable[str], load: str = ""
) -> dict[str, Spread]:
    """Returns the ratios by name, each of neighbours in time.

    Args:
        pairs: by variant.
        services: names of a mesh's processes.
        load: what the names have after the variant's, where there is another load than the usual.
    """
    wanted = tuple(services)
    found: dict[str, Spread] = {}
    for name, pair in pairs.items():
        if not pair.variant:
            continue
        found[f"cpu_{name}{load}_over_off"] = pair.ratio(lambda one: mesh_cpu_us(one, wanted))
        if name in _LATENCIES:
            found[f"latency_{name}{load}_over_off_p50"] = pair.ratio(lambda one: one.p50_ms)
            found[f"latency_{name}{load}_over_off_p99"] = pair.ratio(lambda one: one.p99_ms)
    return found
