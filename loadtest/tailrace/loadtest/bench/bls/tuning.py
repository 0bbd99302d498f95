"""Finds the best configuration of the BLS model on this machine."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping

from tailrace.loadtest.bench.bls.repository import VARIANTS, BlsVariant
from tailrace.loadtest.bench.bls.server import BlsServer

# Repeats differ by more than this.
_TIE = 0.05


async def variant_rates(
    server: BlsServer, rate: Callable[[], Awaitable[float]], repeats: int
) -> dict[BlsVariant, float]:
    """Returns the median of the rows per second of every variant.

    Args:
        server: that runs.
        rate: measures the rate of the variant that is loaded.
        repeats: how often each variant is measured, in turn.
    """
    rates: dict[BlsVariant, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(repeats):
        for variant in VARIANTS:
            await asyncio.to_thread(server.load, variant)
            rates[variant].append(await rate())
    return {variant: statistics.median(values) for variant, values in rates.items()}


def best_variant(rates: Mapping[BlsVariant, float]) -> BlsVariant:
    """Returns the variant with the highest rate; of those as good as it, the quickest alone.

    A delay costs a single caller its full length, so that of rates that are as good as equal the
    one with the shortest delay wins.
    """
    enough = max(rates.values()) * (1 - _TIE)
    good = [variant for variant, rate in rates.items() if rate >= enough]
    return min(good, key=lambda variant: (variant.delay_us, -rates[variant]))
