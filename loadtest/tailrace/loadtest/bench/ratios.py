"""The ratios of `make bench-mesh`, and what they are to reach."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tailrace.loadtest.bench.slices import Load, Results, Slice
from tailrace.loadtest.bench.spread import Spread


@dataclass(frozen=True, slots=True)
class Bar:
    """What a ratio is to reach.

    Attributes:
        limit: at least this, or at most.
        at_least: which of the two.
    """

    limit: float
    at_least: bool

    def met_by(self, value: float) -> bool:
        """Returns whether a value reaches it."""
        return value >= self.limit if self.at_least else value <= self.limit

    def text(self) -> str:
        """Returns such as `≥ 6`."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


BARS = {
    "unary_over_chain": Bar(6, True),
    "unary_over_bls": Bar(0.7, True),
    "local_over_bls": Bar(1.0, True),
    "local_triton_over_bls": Bar(0.8, True),
    "stream_over_chain": Bar(15, True),
    "stream_over_triton": Bar(1.0, True),
    "stream_over_bls": Bar(1.5, True),
    "p50_over_chain": Bar(0.8, False),
    "local_p50_over_bls": Bar(0.6, False),
    "local_triton_p50_over_bls": Bar(1.0, False),
    "open_loop_p99_over_p50": Bar(4, False),
    "open_loop_p99_over_bls": Bar(1.5, False),
    # Below these the baselines themselves are in doubt.
    "chain_over_triton": Bar(0.05, True),
    "bls_over_chain": Bar(5, True),
}
"""By name of the ratio; others are information."""

BUSY = 128
"""Calls in flight at which throughput is compared."""


def ratios_of(results: Results, wide_in_flight: int) -> dict[str, Spread]:
    """Returns the ratios by name, each of figures of the same repeat; those that were measured.

    Args:
        results: all slices.
        wide_in_flight: messages in flight at which many rows per message are compared.
    """
    wide = {name: Load(name, "wide", wide_in_flight) for name in ("triton", "mesh", "bls")}
    busy = {
        name: Load(name, "unary", BUSY)
        for name in ("triton", "chain", "mesh", "local", "local_triton", "bls")
    }
    alone = {name: Load(name, "unary", 1) for name in busy}
    own, shared = Load("mesh", "open_own"), Load("mesh", "open_shared")
    pairs: dict[str, tuple[Load, Load]] = {
        "unary_over_chain": (busy["mesh"], busy["chain"]),
        "unary_over_bls": (busy["mesh"], busy["bls"]),
        "local_over_bls": (busy["local"], busy["bls"]),
        "local_triton_over_bls": (busy["local_triton"], busy["bls"]),
        "stream_over_chain": (wide["mesh"], busy["chain"]),
        "stream_over_triton": (wide["mesh"], busy["triton"]),
        "stream_over_bls": (wide["mesh"], busy["bls"]),
        "stream_over_triton_32": (wide["mesh"], wide["triton"]),
        "stream_over_bls_32": (wide["mesh"], wide["bls"]),
        "chain_over_triton": (busy["chain"], busy["triton"]),
        "bls_over_chain": (busy["bls"], busy["chain"]),
    }
    ratios = _ratios(results, pairs, lambda one: one.rate)
    pairs = {
        "p50_over_chain": (alone["mesh"], alone["chain"]),
        "local_p50_over_bls": (alone["local"], alone["bls"]),
        "local_triton_p50_over_bls": (alone["local_triton"], alone["bls"]),
    }
    ratios |= _ratios(results, pairs, lambda one: one.p50_ms)
    if own in results:
        ratios["open_loop_p99_over_p50"] = Spread.of(
            [one.p99_ms / one.p50_ms for one in results[own]]
        )
    pairs = {"open_loop_p99_over_bls": (shared, Load("bls", "open_shared"))}
    return ratios | _ratios(results, pairs, lambda one: one.p99_ms)


def peak_rate(results: Results, contender: str) -> float:
    """Returns the highest median rate of one contender, one row per call."""
    return max(
        statistics.median(one.rate for one in slices)
        for load, slices in results.items()
        if load.contender == contender and load.mode == "unary"
    )


def _ratios(
    results: Results, pairs: Mapping[str, tuple[Load, Load]], figure: Callable[[Slice], float]
) -> dict[str, Spread]:
    return {
        name: Spread.of(
            [
                figure(one) / figure(other)
                for one, other in zip(results[above], results[below], strict=True)
            ]
        )
        for name, (above, below) in pairs.items()
        if above in results and below in results
    }
