"""How much of a load is missing where a process that makes it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tailrace.loadtest.engine.caller_schedule import Callers, caller_schedule
from tailrace.loadtest.engine.crew import Loss
from tailrace.loadtest.engine.rate_schedule import rate_schedule
from tailrace.loadtest.engine.roster import NEVER_NS
from tailrace.loadtest.engine.share import Share
from tailrace.loadtest.measure.lost_process import LostProcess
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions


def lost_process(
    options: LoadOptions, loss: Loss, parts: Sequence[Tally], start_ns: int, cancelled_ns: int
) -> LostProcess:
    """Returns what is told of a process that was lost.

    Args:
        options: of the run.
        loss: which process, and how it ended.
        parts: what each process told.
        start_ns: the run's start, on the monotonic clock.
        cancelled_ns: when the run was interrupted, in nanoseconds after its start; 0 or less if it
            was not: what was not asked for any more is not missing.
    """
    part, share = parts[loss.place], Share(loss.place, len(parts))
    time_s = options.duration or options.max_duration
    end_ns = round(time_s * 1e9) if time_s else NEVER_NS
    if cancelled_ns > 0:
        end_ns = min(end_ns, cancelled_ns)
    asked = _calls_asked(options, end_ns)
    missing = None
    if asked is not None:
        missing = max(share.of(asked) - part.ended - part.skipped, 0)
        lack = missing / asked if asked else 0.0
    else:
        whole_ns = _caller_time(options, None, 0, end_ns)
        lost_ns = _caller_time(options, share, part.wall_ns, end_ns)
        lack = lost_ns / whole_ns if whole_ns else 0.0
    error = loss.error
    return LostProcess(
        name=error.name,
        how=error.how,
        why=error.hint,
        ended_ns=max(loss.at_ns - start_ns, 0),
        told_ns=part.wall_ns,
        missing=missing,
        share=lack,
    )


def _calls_asked(options: LoadOptions, end_ns: int) -> int | None:
    """Returns how many calls the whole run was to make; None if it is callers for some time."""
    schedule = rate_schedule(options)
    # What is due at the end itself is not made any more.
    due = None if schedule is None or end_ns == NEVER_NS else schedule.due_until(end_ns - 1)
    if options.duration:
        return due
    return options.total if due is None else min(options.total, due)


def _caller_time(options: LoadOptions, share: Share | None, from_ns: int, end_ns: int) -> int:
    """Returns the time of all callers, or of a process's, between two instants of a run."""
    if options.open_loop:
        count = options.max_in_flight if share is None else share.of(options.max_in_flight)
        return count * max(end_ns - from_ns, 0)
    total_ns = 0
    for callers, until_ns in _stretches(options, end_ns):
        numbers = range(callers.first, callers.end)
        if share is not None:
            numbers = share.numbers(callers.first, callers.end)
        total_ns += len(numbers) * max(until_ns - max(callers.from_ns, from_ns), 0)
    return total_ns


def _stretches(options: LoadOptions, end_ns: int) -> list[tuple[Callers, int]]:
    """Returns the callers of each time in which they are the same, and until when that is."""
    found: list[Callers] = []
    for callers in caller_schedule(options):
        if callers.from_ns >= end_ns:
            break
        found.append(callers)
    ends = [after.from_ns for _, after in pairwise(found)]
    return list(zip(found, [*ends, end_ns], strict=True))
