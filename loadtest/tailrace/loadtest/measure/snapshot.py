"""A run by slices of time, small enough to be part of its JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.measure.time_slices import MAX_SLICES, TimeSlice, TimeSlices


def snapshot(result: RunResult) -> dict[str, Any]:
    """Returns what a later run is compared with, as JSON values.

    `duration` and `slice` are nanoseconds. Each of `slices` has `started`, `ended`, `failed`, and
    `latencies`: the buckets of `LatencyHistogram` that hold any, as text. Each word is how far a
    bucket is from the one before, the first from 0, and after `*` how many latencies it has, if
    there are more than one: `20480*3 12` is three in bucket 20480 and one in 20492.
    """
    slices = result.tally.slices
    return {
        "duration": result.duration_ns,
        "slice": slices.length_ns,
        "slices": [
            {
                "started": found.started,
                "ended": found.ended,
                "failed": found.failed,
                "latencies": _packed(found.buckets),
            }
            for found in slices.slices
        ],
    }


def read_snapshot(values: Mapping[str, Any]) -> tuple[TimeSlices, int]:
    """Returns a run's slices, and its duration in nanoseconds.

    Args:
        values: what `snapshot` returned.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    length_ns, duration_ns, told = values["slice"], values["duration"], values["slices"]
    if not (isinstance(length_ns, int) and length_ns > 0 and len(told) <= MAX_SLICES):
        raise ValueError("no slices of time")
    slices = [
        TimeSlice(
            int(found["started"]),
            int(found["ended"]),
            int(found["failed"]),
            _unpacked(found["latencies"]),
        )
        for found in told
    ]
    return TimeSlices(length_ns, slices), int(duration_ns)


def _packed(buckets: Mapping[int, int]) -> str:
    words = []
    before = 0
    for place in sorted(buckets):
        count = buckets[place]
        words.append(f"{place - before}*{count}" if count > 1 else f"{place - before}")
        before = place
    return " ".join(words)


def _unpacked(text: str) -> dict[int, int]:
    buckets: dict[int, int] = {}
    place = 0
    for word in text.split():
        step, _, count = word.partition("*")
        place += int(step)
        buckets[place] = int(count or 1)
    return buckets
