"""Calls that are due at instants of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tailrace.loadtest.engine.calls import WAITED, Calls
from tailrace.loadtest.engine.rate_schedule import RateSchedule
from tailrace.loadtest.engine.roster import NEVER_NS, Roster
from tailrace.loadtest.wire.call import Call


class PacedLoop:
    """The callers of one process, with a rate: a `Pacing`.

    A call is made at its instant if a caller is free then, else as soon as one is. In an open
    loop there is a caller for each call that may be in flight.
    """

    def __init__(
        self,
        roster: Roster,
        numbers: Iterator[int],
        calls: Calls,
        schedule: RateSchedule,
        start_ns: int,
    ) -> None:
        """Takes what makes calls, and becomes what is told when they are over.

        Args:
            roster: the callers.
            numbers: of the calls that they make.
            calls: what makes them.
            schedule: when the calls of the whole run are due.
            start_ns: the run's start, on the monotonic clock.
        """
        self.over = False
        self._roster, self._numbers, self._make = roster, numbers, calls.make
        self._schedule, self._start_ns = schedule, start_ns
        self._idle: deque[int] = deque()
        self._number, self._due_ns = 0, NEVER_NS
        self._step()
        calls.freed = self._freed

    def advance(self, now_ns: int) -> int:
        """Makes what is due, as far as there are callers: see `Pacing`."""
        roster, idle = self._roster, self._idle
        if roster.change_ns <= now_ns:
            idle.extend(roster.changed(now_ns))
            self._idle = idle = deque(each for each in idle if each >= roster.first)
            if roster.gone:
                self.over = True
        while self._due_ns <= now_ns and idle and not self.over:
            self._take(idle.popleft(), None)
        due_ns = self._due_ns if idle and not self.over else NEVER_NS
        return min(due_ns, roster.change_ns)

    def _freed(self, call: Call) -> None:
        worker = call.worker
        if worker < self._roster.first:
            return
        # What was due before there was a caller for it waited for the server, not for us.
        if self._due_ns <= call.ended_ns and not self._idle and not self.over:
            self._take(worker, WAITED)
        else:
            self._idle.append(worker)

    def _take(self, worker: int, state: object | None) -> None:
        number, due_ns = self._number, self._due_ns
        self._step()
        self._make(number, worker, due_ns, state)

    def _step(self) -> None:
        number = next(self._numbers, None)
        due_ns = None if number is None else self._schedule.due_ns(number)
        if number is None or due_ns is None:
            self.over, self._due_ns = True, NEVER_NS
        else:
            self._number, self._due_ns = number, self._start_ns + due_ns
