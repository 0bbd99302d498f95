"""A run by slices of time, small enough to be part of its JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.measure.latency_histogram import BUCKETS
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
                "latencies": _packed(found),
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
            *_unpacked(found["latencies"]),
        )
        for found in told
    ]
    return TimeSlices(length_ns, slices), int(duration_ns)


def _packed(found: TimeSlice) -> str:
    words = []
    before = 0
    for place, count in found.buckets.items():
        words.append(f"{place - before}*{count}" if count > 1 else f"{place - before}")
        before = place
    return " ".join(words)


def _unpacked(text: str) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
    words = [word.partition("*") for word in text.split()]
    places = np.cumsum([int(step) for step, _, _ in words], dtype=np.int64)
    counts = np.array([int(count or 1) for _, _, count in words], np.int64)
    if places.size and not (0 <= places.min() and places.max() < BUCKETS and counts.min() > 0):
        raise ValueError("a bucket that there is not")
    return places.astype(np.uint16), counts.astype(np.uint32)
