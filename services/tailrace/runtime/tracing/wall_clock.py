"""From the monotonic clock, which spans are timed by, to the time of day that they tell."""

from __future__ import annotations

import time

_TRIES = 5


def wall_offset_ns() -> int:
    """Returns what to add to an instant of the monotonic clock to have nanoseconds since 1970.

    Estimated anew for each batch of spans, as the wall clock is slewed and stepped; both instants
    of a span take the same offset, so that no step lies between them. Of a few readings it takes
    the one that was interrupted the least.
    """
    best_ns, offset_ns = 0, 0
    for attempt in range(_TRIES):
        before_ns = time.monotonic_ns()
        now_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        if attempt == 0 or after_ns - before_ns < best_ns:
            best_ns = after_ns - before_ns
            offset_ns = now_ns - (before_ns + after_ns) // 2
    return offset_ns
