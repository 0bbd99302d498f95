"""The callers of one process, as their number changes."""

from __future__ import annotations

from tailrace.loadtest.engine.caller_schedule import Callers, caller_schedule
from tailrace.loadtest.engine.share import Share
from tailrace.loadtest.options.load_options import LoadOptions

# Later than any instant of the monotonic clock.
NEVER_NS = 1 << 62


class Roster:
    """Who makes calls.

    In an open loop nobody waits for an answer before the next call: each number is there as often
    as calls may be in flight.

    Attributes:
        first: callers with smaller numbers are to make no more calls.
        change_ns: when the next change is, on the monotonic clock; `NEVER_NS` for never.
    """

    def __init__(self, options: LoadOptions, share: Share, start_ns: int) -> None:
        """Begins with nobody; those of the start come with the first `changed`.

        Args:
            options: of the whole run.
            share: what of it is this process's.
            start_ns: the run's start, on the monotonic clock.
        """
        self.first = 0
        self.change_ns = start_ns
        self._share, self._start_ns = share, start_ns
        self._end = 0
        self._schedule = caller_schedule(options)
        self._next: Callers | None = next(self._schedule)
        self._copies = share.of(options.max_in_flight) if options.open_loop else 0

    @property
    def gone(self) -> bool:
        """True if there are no callers, and there will be none."""
        nobody = not self._share.numbers(self.first, self._end)
        return self._next is None and nobody and not self._copies

    def changed(self, now_ns: int) -> list[int]:
        """Goes on to an instant; returns the numbers of those who are new since the last time."""
        new: list[int] = []
        while self._next is not None and self.change_ns <= now_ns:
            new += self._joined(self._next)
            self._next = None if self._copies else next(self._schedule, None)
            self.change_ns = NEVER_NS
            if self._next is not None:
                self.change_ns = self._start_ns + self._next.from_ns
        return [worker for worker in new if worker >= self.first]

    def _joined(self, callers: Callers) -> list[int]:
        share = self._share
        if self._copies:
            names = share.numbers(0, max(callers.count, share.processes))
            return [names[place % len(names)] for place in range(self._copies)]
        new = share.numbers(self._end, callers.end)
        self.first, self._end = callers.first, callers.end
        return list(new)
