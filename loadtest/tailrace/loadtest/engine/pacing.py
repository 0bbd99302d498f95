"""Who makes a call when: what the load's loop asks for it."""

from __future__ import annotations

from typing import Protocol

from tailrace.loadtest.engine.calls import Calls
from tailrace.loadtest.engine.closed_loop import ClosedLoop
from tailrace.loadtest.engine.paced_loop import PacedLoop
from tailrace.loadtest.engine.rate_schedule import rate_schedule
from tailrace.loadtest.engine.roster import Roster
from tailrace.loadtest.engine.share import Share, call_numbers
from tailrace.loadtest.options.load_options import LoadOptions


class Pacing(Protocol):
    """Makes calls when they are due.

    Attributes:
        over: True once no more calls are made.
    """

    over: bool

    def advance(self, now_ns: int) -> int:
        """Makes what is due until an instant; returns when it wants to be asked again.

        Args:
            now_ns: on the monotonic clock, as what is returned.
        """


def make_pacing(options: LoadOptions, share: Share, calls: Calls, start_ns: int) -> Pacing:
    """Returns what makes the calls of one process.

    Args:
        options: of the whole run.
        share: what of it is this process's.
        calls: what makes them.
        start_ns: the run's start, on the monotonic clock.
    """
    roster = Roster(options, share, start_ns)
    numbers = call_numbers(options, share)
    schedule = rate_schedule(options)
    if schedule is None:
        return ClosedLoop(roster, numbers, calls)
    return PacedLoop(roster, numbers, calls, schedule, start_ns)
