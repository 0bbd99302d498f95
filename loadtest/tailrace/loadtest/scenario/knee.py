"""The largest rate at which a server still keeps its latency."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tailrace.loadtest.measure.run_result import RunResult

# Below this share of the offered rate, calls pile up, whatever their latency is so far.
_KEPT_UP = 0.95
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rate has to keep.

    Attributes:
        p99_ns: latency of 99 % of its calls, from when they were due, in nanoseconds.
        errors: largest share of failed calls, 0 to 1.
    """

    p99_ns: float
    errors: float


@dataclass(frozen=True, slots=True)
class Step:
    """One rate that was tried.

    Attributes:
        rate: calls a second that were due.
        result: what they came to.
        why: why it does not hold; empty if it does.
        generator: True if that is the generator's doing, as far as it can tell.
    """

    rate: float
    result: RunResult
    why: str = ""
    generator: bool = False

    @property
    def holds(self) -> bool:
        """True if the server keeps its latency at this rate."""
        return not self.why

    @property
    def p99_ns(self) -> int:
        """Latency of 99 % of the calls, in nanoseconds."""
        return self.result.tally.corrected.percentile(99)


@dataclass(slots=True)
class Knee:
    """How far a rate can rise.

    Attributes:
        bounds: what had to be kept.
        steps: what was tried, in order.
    """

    bounds: Bounds
    steps: list[Step] = field(default_factory=list)

    @property
    def held(self) -> Step | None:
        """The largest rate that held, and below which none failed twice; None if none did."""
        failed = self.failed
        below = [
            step for step in self.steps if step.holds and (not failed or step.rate < failed.rate)
        ]
        return max(below, key=lambda step: step.rate, default=None)

    @property
    def failed(self) -> Step | None:
        """The least rate that did not hold, at its last try; None if all did."""
        last = {step.rate: step for step in self.steps}
        failed = [step for step in last.values() if not step.holds]
        return min(failed, key=lambda step: step.rate, default=None)

    @property
    def capacity(self) -> float:
        """The largest rate that held, in calls a second; 0 if none did."""
        return self.held.rate if self.held else 0.0


async def find_knee(
    measure: Callable[[float], Awaitable[RunResult]],
    knee: Knee,
    *,
    start: float,
    factor: float,
    narrow: int,
    max_rps: float,
    tell: Callable[[Step], None],
) -> None:
    """Finds how far a rate can rise: it rises until it fails, and is then narrowed down.

    A rate fails if it fails twice: on a machine that does other things as well, once is no proof.

    Args:
        measure: makes the load at a rate, in calls a second.
        knee: what has to be kept; steps are added to it as they are made.
        start: first rate.
        factor: by what each further one is multiplied.
        narrow: rates between the last that held and the first that did not.
        max_rps: rate at which it stops.
        tell: told each step.
    """

    async def holds(rate: float) -> bool:
        for _ in range(2):
            step = judge_step(rate, await measure(rate), knee.bounds)
            knee.steps.append(step)
            tell(step)
            if step.holds:
                return True
        return False

    low, high, rate = 0.0, 0.0, start
    while rate <= max_rps:
        if not await holds(rate):
            high = rate
            break
        low, rate = rate, _round(rate * factor)
    if not low:
        # Already the first was too much: what is below it is looked at, down to a fiftieth.
        while high > start / 50 and not low:
            rate = _round(high / factor)
            if await holds(rate):
                low = rate
            else:
                high = rate
    for _ in range(narrow if low and high else 0):
        # In even ratios, as the steps before.
        rate = _round((low * high) ** 0.5)
        if await holds(rate):
            low = rate
        else:
            high = rate


def judge_step(rate: float, result: RunResult, bounds: Bounds) -> Step:
    """Returns whether a rate holds, and why not."""
    tally = result.tally
    if result.lost:
        return Step(rate, result, "a load process was lost", generator=True)
    if not tally.ended:
        return Step(rate, result, "no call has ended")
    p99_ns = tally.corrected.percentile(99)
    failed = tally.failed / tally.ended
    why = ""
    if failed > bounds.errors:
        why = f"{failed:.1%} failed"
    elif p99_ns > bounds.p99_ns:
        why = f"p99 {p99_ns / _NS_PER_MS:.1f} ms"
    elif result.rps < _KEPT_UP * rate:
        why = f"only {result.rps:,.0f} calls/s"
    return Step(rate, result, why, bool(why) and result.limit.limited)


def _round(rate: float) -> float:
    """Returns a rate in three digits."""
    return float(f"{rate:.3g}")
