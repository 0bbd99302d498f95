"""Whether the generator, and not the server, was the limit of a run."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.loadtest.engine.rate_schedule import rate_schedule
from tailrace.loadtest.engine.share import Share
from tailrace.loadtest.measure.run_result import GeneratorLimit
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions

# Calls are late by more than this, and by more than that share of the latency, both at the same
# percentile: what lateness adds to a percentile is at most about its own.
_LATE_NS = 1_000_000
_LATE_SHARE = 0.1
# Of a core's time. The rest is what the kernel takes to switch, and others on the machine.
_BUSY_SHARE = 0.9
# Of the run's time.
_AWAY_SHARE = 0.1
# Of the calls that were due. The rest is the edge of the time that is looked at.
_MADE_SHARE = 0.95
_SECOND_NS = 1_000_000_000


def generator_limit(
    options: LoadOptions, whole: Tally, parts: Sequence[Tally], start_ns: int
) -> GeneratorLimit:
    """Returns whether a run measured its generator.

    Args:
        options: of the run.
        whole: what all processes recorded.
        parts: what each did.
        start_ns: the run's start, on the monotonic clock.
    """
    reasons = [*_late(whole), *_busy(parts), *_away(parts)]
    if options.paced:
        # What a process that was lost has not made does not say that callers were too few.
        behind = [] if whole.lost else _behind(options, whole, start_ns)
        reasons += _full(options, parts) or behind
    return GeneratorLimit(bool(reasons), "; ".join(reasons))


def _late(whole: Tally) -> list[str]:
    for percent in (99, 50):
        late_ns = whole.lag.percentile(percent)
        if late_ns > max(_LATE_NS, _LATE_SHARE * whole.corrected.percentile(percent)):
            return [f"calls were sent {late_ns / 1e6:.3g} ms late (p{percent})"]
    return []


def _busy(parts: Sequence[Tally]) -> list[str]:
    shares = [part.cpu_ns / part.wall_ns for part in parts if part.wall_ns]
    busiest = max(shares, default=0.0)
    if busiest < _BUSY_SHARE:
        return []
    who = "its process" if len(parts) == 1 else f"the busiest of its {len(parts)} processes"
    return [f"{who} took {busiest:.0%} of a core (more: --cpus)"]


def _away(parts: Sequence[Tally]) -> list[str]:
    """Looks for what lag does not show where callers wait: answers that nobody read."""
    share = max((part.away_ns / part.wall_ns for part in parts if part.wall_ns), default=0.0)
    if share < _AWAY_SHARE:
        return []
    who = "its process" if len(parts) == 1 else f"one of its {len(parts)} processes"
    return [f"answers may have waited for {who} {share:.0%} of the time"]


def _full(options: LoadOptions, parts: Sequence[Tally]) -> list[str]:
    if not options.open_loop:
        return []
    rooms = [Share(place, len(parts)).of(options.max_in_flight) for place in range(len(parts))]
    if all(part.max_in_flight < room for part, room in zip(parts, rooms, strict=True)):
        return []
    return [f"{options.max_in_flight} calls were in flight, and no more may be (--max-in-flight)"]


def _behind(options: LoadOptions, whole: Tally, start_ns: int) -> list[str]:
    """Looks whether the callers were too few for the rate."""
    schedule = rate_schedule(options)
    elapsed_ns = whole.last_ns - start_ns - whole.uncorrected.percentile(50)
    if options.open_loop or schedule is None or elapsed_ns < _SECOND_NS // 2:
        return []
    due = schedule.due_until(elapsed_ns)
    if options.duration:
        made = whole.started
    else:
        # All were made, sooner or later: how many were due when the last one was?
        due, made = max(due, options.total), options.total
    if made >= _MADE_SHARE * due:
        return []
    return [
        f"{made} of {due} calls that were due were made: the callers were all busy"
        " (more: --concurrency; whatever is in flight: --async)"
    ]
