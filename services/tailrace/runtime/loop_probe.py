"""Measures how late the event loop is: whatever keeps it busy keeps every request waiting."""

from __future__ import annotations

import asyncio
import time

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.histogram import Histogram

# Beyond so many a block has had its effect on any percentile.
MAX_MISSED = 10_000

_LAG_SECONDS = Histogram(
    names.EVENT_LOOP_LAG_SECONDS,
    "How late the event loop was for a timer; those that came due while it was blocked are counted "
    "with what they had to wait.",
    bounds=names.LATENCY_BUCKETS_S,
)


async def probe_loop(interval_s: float) -> None:
    """Sets a timer every `interval_s` seconds and counts how late it was, until cancelled."""
    lag_s = _LAG_SECONDS.labels()
    due_s = time.monotonic()
    while True:
        due_s += interval_s
        await asyncio.sleep(due_s - time.monotonic())
        late_s = max(time.monotonic() - due_s, 0.0)
        lag_s.observe(late_s)
        # One long block is one late timer; requests come all the time, and so do these.
        missed = min(int(late_s / interval_s), MAX_MISSED)
        for number in range(1, missed + 1):
            lag_s.observe(late_s - number * interval_s)
        due_s = max(due_s + missed * interval_s, time.monotonic() - interval_s)
