"""How many callers there are, and which.

Their number changes as in ghz 0.121 (`load/worker_ticker.go`): new callers get new numbers, and
those that were there first leave first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.loadtest.options.load_options import LoadOptions, Schedule

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Callers:
    """The callers from an instant on: those with numbers from `first` to `end`, without that.

    Attributes:
        from_ns: when, in nanoseconds after the start.
        first: the number of the first of them.
        end: the number after the last.
    """

    from_ns: int
    first: int
    end: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.end - self.first


def caller_schedule(options: LoadOptions) -> Iterator[Callers]:
    """Yields the callers at the start, and after each change of their number."""
    if options.concurrency_schedule is Schedule.CONST:
        yield Callers(0, 0, options.concurrency)
        return
    line = options.concurrency_schedule is Schedule.LINE
    step_ns = round((1.0 if line else options.concurrency_step_duration) * _SECOND_NS)
    yield from _changing(
        start=options.concurrency_start,
        step=options.concurrency_step,
        step_ns=step_ns,
        end=options.concurrency_end,
        max_ns=round(options.concurrency_max_duration * _SECOND_NS),
    )


def _changing(*, start: int, step: int, step_ns: int, end: int, max_ns: int) -> Iterator[Callers]:
    now = Callers(0, 0, start)
    yield now
    while True:
        instant = now.from_ns + step_ns
        if max_ns and instant >= max_ns:
            # A jump to the end, where there is one that the steps have not passed.
            if end and (end > now.count if step > 0 else end < now.count):
                yield _changed(now, instant, end - now.count)
            return
        if not max_ns and _arrived(now.count, step, end):
            return
        now = _changed(now, instant, step)
        yield now


def _arrived(count: int, step: int, end: int) -> bool:
    return count <= end if step < 0 else 0 < end <= count


def _changed(now: Callers, instant: int, delta: int) -> Callers:
    if delta > 0:
        return Callers(instant, now.first, now.end + delta)
    return Callers(instant, min(now.first - delta, now.end), now.end)
