"""What each of several processes does of a run.

Calls and callers are numbered over the whole run, and dealt out in turns: of P processes, process
k makes the calls k, k+P, k+2P, …, each at the instant at which it is due in the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from tailrace.loadtest.engine.caller_schedule import caller_schedule
from tailrace.loadtest.options.load_options import LoadOptions, Schedule


@dataclass(frozen=True, slots=True)
class Share:
    """One process's turn.

    Attributes:
        process: its number, from 0.
        processes: how many there are.
    """

    process: int
    processes: int

    def of(self, count: int) -> int:
        """Returns how many of so many fall to the process."""
        return max(0, (count - self.process + self.processes - 1) // self.processes)

    def numbers(self, first: int, end: int) -> range:
        """Returns which of the numbers from `first` to `end`, without that, fall to it."""
        skip = (self.process - first) % self.processes
        return range(first + skip, end, self.processes)


def process_count(options: LoadOptions) -> int:
    """Returns how many processes share a run: `cpus`, unless one would have nothing to do."""
    room = options.max_in_flight if options.open_loop else _fewest_callers(options)
    if not options.duration:
        room = min(room, options.total)
    return max(1, min(options.cpus, room))


def call_numbers(options: LoadOptions, share: Share) -> Iterator[int]:
    """Returns the numbers of the calls that a process makes; without an end where time sets it."""
    if options.duration:
        return count(share.process, share.processes)
    return iter(share.numbers(0, options.total))


def connection_count(options: LoadOptions, share: Share) -> int:
    """Returns how many connections a process has: its share, and at least one."""
    return max(1, share.of(options.connections))


def _fewest_callers(options: LoadOptions) -> int:
    if options.concurrency_schedule is Schedule.CONST:
        return options.concurrency
    # Callers that become more are fewest at the start; those that become fewer come to an end.
    if options.concurrency_step > 0 and options.concurrency_end >= 0:
        return max(options.concurrency_start, 1)
    return min(each.count for each in caller_schedule(options))
