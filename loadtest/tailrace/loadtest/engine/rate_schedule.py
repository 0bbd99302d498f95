"""When the calls of a run are due.

The rates are those of ghz 0.121 (`load/pacer.go`): a call is due when the rate, added up over the
time since the start, comes to one more. So the first call is due after one interval, not at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tailrace.loadtest.options.load_options import LoadOptions, Schedule

_SECOND_NS = 1_000_000_000
# As good as never, for rates that no float has the interval of.
_NEVER_NS = 1 << 62
# What is missing from a whole call because of binary fractions is none of it.
_ROUNDING = 1e-9


class RateSchedule(Protocol):
    """When the calls of a whole run are due."""

    def due_ns(self, number: int) -> int | None:
        """Returns when a call is due, in nanoseconds after the start.

        Args:
            number: the call's number, from 0; no smaller than it was the last time.

        Returns:
            None if the rate has come to 0 for good before.
        """

    def due_until(self, elapsed_ns: int) -> int:
        """Returns how many calls are due in so many nanoseconds after the start."""


class ConstantRate:
    """The same rate all the time."""

    def __init__(self, rps: float) -> None:
        """Takes the rate, calls a second, above 0."""
        self._interval_ns = min(_SECOND_NS / rps, float(_NEVER_NS))

    def due_ns(self, number: int) -> int | None:
        """Returns when a call is due: see `RateSchedule`."""
        return round((number + 1) * self._interval_ns)

    def due_until(self, elapsed_ns: int) -> int:
        """Returns how many calls are due until then: see `RateSchedule`."""
        return math.floor(elapsed_ns / self._interval_ns + _ROUNDING)


@dataclass(frozen=True, slots=True)
class _Stretch:
    # A time of constant rate: where it begins, how many calls were due until then, the rate, and
    # how many are due until its end.
    start_ns: int
    before: float
    rps: float
    until: float


class SteppedRate:
    """A rate that changes by the same amount after each step, and stops changing at some time."""

    def __init__(
        self,
        *,
        start: float,
        step: float,
        step_duration: float,
        end: float,
        max_duration: float,
    ) -> None:
        """Takes the shape.

        Args:
            start: rate of the first step, calls a second.
            step: what each further step adds.
            step_duration: length of a step, in seconds.
            end: rate of the time after the last step; 0 for none.
            max_duration: where the last step ends, in seconds. With 0, that is where a further
                step would go beyond `end`, and without that, nowhere.
        """
        self._start, self._step = start, step
        self._step_ns = round(step_duration * _SECOND_NS)
        self._last_ns, self._end = self._last(end, round(max_duration * _SECOND_NS))
        self._stretches = self._all()
        self._now: _Stretch | None = next(self._stretches)

    def due_ns(self, number: int) -> int | None:
        """Returns when a call is due: see `RateSchedule`."""
        while self._now is not None and number + 1 > self._now.until:
            self._now = next(self._stretches, None)
        if self._now is None:
            return None
        share = (number + 1 - self._now.before) / self._now.rps
        return self._now.start_ns + round(min(share * _SECOND_NS, float(_NEVER_NS)))

    def due_until(self, elapsed_ns: int) -> int:
        """Returns how many calls are due until then: see `RateSchedule`."""
        due = 0.0
        for stretch in self._all():
            if stretch.start_ns > elapsed_ns:
                break
            share = stretch.rps * (elapsed_ns - stretch.start_ns) / _SECOND_NS
            due = min(stretch.before + share, stretch.until)
        return math.floor(due + _ROUNDING)

    def rate_at(self, elapsed_ns: int) -> float:
        """Returns the rate so long after the start, in calls a second."""
        if self._last_ns is not None and elapsed_ns >= self._last_ns:
            return self._end
        return max(self._start + self._step * (elapsed_ns // self._step_ns), 0.0)

    def _last(self, end: float, max_ns: int) -> tuple[int | None, float]:
        if max_ns:
            return max_ns, end or max(self._start + self._step * (max_ns // self._step_ns), 0.0)
        if not end:
            return None, 0.0
        # The first step beyond it.
        steps = math.floor((end - self._start) / self._step) + 1
        return max(steps, 0) * self._step_ns, end

    def _all(self) -> Iterator[_Stretch]:
        start_ns, before = 0, 0.0
        while self._last_ns is None or start_ns < self._last_ns:
            stop_ns = start_ns + self._step_ns
            if self._last_ns is not None:
                stop_ns = min(stop_ns, self._last_ns)
            rps = self.rate_at(start_ns)
            if self._last_ns is None and self._step < 0 and not rps:
                return
            after = before + rps * (stop_ns - start_ns) / _SECOND_NS
            yield _Stretch(start_ns, before, rps, after)
            start_ns, before = stop_ns, after
        if self._end:
            # As ghz does: what was due of a further call is forgotten here.
            yield _Stretch(start_ns, math.floor(before + _ROUNDING), self._end, math.inf)


def rate_schedule(options: LoadOptions) -> RateSchedule | None:
    """Returns when calls are due; None if they are due as soon as they can be made."""
    if options.load_schedule is Schedule.CONST:
        return ConstantRate(options.rps) if options.rps else None
    line = options.load_schedule is Schedule.LINE
    return SteppedRate(
        start=options.load_start,
        step=options.load_step,
        step_duration=1.0 if line else options.load_step_duration,
        end=options.load_end,
        max_duration=options.load_max_duration,
    )
