"""Whether memory grows: many predictions, one contender after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tailrace.loadtest.bench.generator.orders import Order
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.mesh_contenders import Contender
from tailrace.loadtest.bench.process_usage import ProcessUsage
from tailrace.loadtest.bench.ratios import BUSY

# Pools, caches and the allocator's arenas fill up first.
_WARM_SHARE = 0.1
_SLICE_S = 4.0


@dataclass(frozen=True, slots=True)
class Growth:
    """Resident memory of one process over many predictions.

    Attributes:
        warm_bytes: after the first tenth.
        end_bytes: at the end.
    """

    warm_bytes: float
    end_bytes: float

    @property
    def grown_bytes(self) -> float:
        """What came on top after the first tenth."""
        return self.end_bytes - self.warm_bytes


async def soak(
    contender: Contender,
    generators: Generators,
    usage: ProcessUsage,
    predictions: int,
    connections: int,
    tell: Callable[[str], None],
) -> dict[str, Growth]:
    """Returns the growth of each process that works for the contender.

    Args:
        contender: who is asked, by `BUSY` callers.
        generators: ask.
        usage: of all processes.
        predictions: how many answers to wait for, at least.
        connections: most connections.
        tell: is told how far it has come.
    """
    order = Order(
        work="closed",
        endpoint=contender.unary,
        in_flight=BUSY,
        connections=connections,
        seconds=_SLICE_S,
    )
    answered = 0
    warm: Mapping[str, float] = {}
    while answered < predictions:
        outcome = await generators.load(order)
        if not outcome.answered:
            raise RuntimeError(f"{contender.name} answers nothing: {outcome.failed}")
        answered += outcome.answered
        tell(f"{contender.name}, {answered:,} of {predictions:,} predictions")
        if not warm and answered >= predictions * _WARM_SHARE:
            warm = usage.resident_bytes()
    return growth_between(warm, usage.resident_bytes(), (*contender.processes, "generator"))


def growth_between(
    warm: Mapping[str, float], end: Mapping[str, float], processes: Sequence[str]
) -> dict[str, Growth]:
    """Returns the growth of some processes between two readings."""
    return {name: Growth(warm[name], end[name]) for name in processes}
