"""Callers who make their next call as soon as the last one is over."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.loadtest.engine.calls import Calls
from tailrace.loadtest.engine.roster import Roster
from tailrace.loadtest.wire.call import Call


class ClosedLoop:
    """The callers of one process, without a rate: a `Pacing`."""

    def __init__(self, roster: Roster, numbers: Iterator[int], calls: Calls) -> None:
        """Takes what makes calls, and becomes what is told when they are over.

        Args:
            roster: the callers.
            numbers: of the calls that they make.
            calls: what makes them.
        """
        self.over = False
        self._roster, self._numbers, self._make = roster, numbers, calls.make
        calls.freed = self._freed

    def advance(self, now_ns: int) -> int:
        """Lets new callers begin: see `Pacing`."""
        roster = self._roster
        if roster.change_ns <= now_ns:
            for worker in roster.changed(now_ns):
                self._next(worker)
            if roster.gone:
                self.over = True
        return roster.change_ns

    def _freed(self, call: Call) -> None:
        if call.worker >= self._roster.first:
            self._next(call.worker)

    def _next(self, worker: int) -> None:
        if self.over:
            return
        number = next(self._numbers, None)
        if number is None:
            self.over = True
        else:
            self._make(number, worker, 0)
