"""How one deadline is shared among the hops: caps, floors, and a reserve learned live."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tailrace.runtime.deadline import NS_PER_MS, NS_PER_S
from tailrace.runtime.pipeline.spec import Budgets

HOPS = ("ingest", "features", "inference", "postprocess")
SMOOTHING = 0.1
DOUBT_AFTER_NS = NS_PER_S
NEVER_NS = 2**62


@dataclass(slots=True)
class LiveLatency:
    """Typical duration of one hop: an exponentially weighted mean, in nanoseconds.

    A new hop counts as taking no time, so that the first requests are not refused.
    """

    mean_ns: float = 0.0
    _seen_ns: int | None = None

    def observe(self, duration_ns: int) -> None:
        """Takes in the duration of a hop that succeeded."""
        if self._seen_ns is None:
            self.mean_ns = float(duration_ns)
        else:
            self.mean_ns += SMOOTHING * (duration_ns - self.mean_ns)
        self._seen_ns = time.monotonic_ns()

    def doubt(self) -> None:
        """Halves the mean if the hop has not been seen for a while, at most once per while.

        For a mean that keeps the hop from being called: left alone, it would do so for good.
        """
        now_ns = time.monotonic_ns()
        if self._seen_ns is not None and now_ns - self._seen_ns >= DOUBT_AFTER_NS:
            self.mean_ns, self._seen_ns = self.mean_ns / 2, now_ns


@dataclass(slots=True)
class HopBudgets:
    """Budgets of one pipeline's hops.

    Attributes:
        bounds: caps and floors, from the pipeline file.
        latency: what each hop typically takes.
        bounds_ns: cap and floor by hop, in nanoseconds; a floor is at least a microsecond.
    """

    bounds: Budgets
    latency: dict[str, LiveLatency] = field(
        default_factory=lambda: {hop: LiveLatency() for hop in HOPS}
    )
    bounds_ns: dict[str, tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        """Reads the bounds once."""
        self.bounds_ns = {}
        for hop in HOPS:
            bounds = getattr(self.bounds, hop)
            floor_ns = max(int(bounds.floor_ms * NS_PER_MS), 1_000)
            self.bounds_ns[hop] = int(bounds.cap_ms * NS_PER_MS), floor_ns

    def observe(self, hop: str, duration_ns: int) -> None:
        """Takes in the duration of a hop that succeeded."""
        self.latency[hop].observe(duration_ns)

    def grant_ns(self, hop: str, remaining_ns: int, hops_after: Iterable[str]) -> int:
        """Returns what the hop may spend: min(cap, remaining - reserve for the hops after it).

        Args:
            hop: the hop about to be called.
            remaining_ns: time until the deadline.
            hops_after: the hops still to come one after the other.
        """
        return min(self.bounds_ns[hop][0], remaining_ns - self._reserve_ns(hops_after))

    def needed_ns(self, hop: str, hops_after: Iterable[str]) -> int:
        """Returns the least time until a deadline with which the hop is granted its floor.

        A cap below the floor grants it to nobody: then no time is enough.
        """
        if self.bounds_ns[hop][0] < self.floor_ns(hop):
            return NEVER_NS
        return self.floor_ns(hop) + self._reserve_ns(hops_after)

    def doubt(self, hops: Iterable[str]) -> None:
        """Says that a call was refused for the sake of the reserve for these hops."""
        for hop in hops:
            self.latency[hop].doubt()

    def floor_ns(self, hop: str) -> int:
        """Returns the least that the hop is called with; at least one microsecond."""
        return self.bounds_ns[hop][1]

    def _reserve_ns(self, hops_after: Iterable[str]) -> int:
        return int(sum([self.latency[after].mean_ns for after in hops_after]))


@dataclass(slots=True)
class RetryBudget:
    """Bounds retries to a share of the calls, so that trouble does not multiply.

    A token bucket: each call earns `ratio`, each retry costs one, at most `burst` are kept.
    """

    ratio: float = 0.1
    burst: float = 10.0
    tokens: float = 10.0

    def earn(self) -> None:
        """Counts one first attempt."""
        self.tokens = min(self.burst, self.tokens + self.ratio)

    def spend(self) -> bool:
        """Returns whether one more retry is allowed, and counts it."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
