"""HdrHistogram's text form of a distribution, which its plotters read.

The layout, the steps and the units are those of `outputPercentileDistribution` of the Java
implementation (https://github.com/HdrHistogram/HdrHistogram), with five steps for each half of the
distance to 100 %, and values in milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TextIO

import numpy as np

from tailrace.loadtest.measure.latency_histogram import (
    BUCKETS,
    HALF_BITS,
    Int64s,
    LatencyHistogram,
    bucket_end,
    bucket_start,
)
from tailrace.loadtest.one_line import one_line

_TICKS_PER_HALF = 5
_NS_PER_MS = 1e6


def write_hgrm(histogram: LatencyHistogram, file: TextIO, notes: Sequence[str] = ()) -> None:
    """Writes the distribution.

    Args:
        histogram: what is written; of the values, the upper ends of buckets, as HdrHistogram does.
            The mean is exact; the standard deviation is of the middles of buckets.
        file: where to.
        notes: lines that come last, as comments, which plotters leave out.
    """
    file.write(f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n\n")
    for value_ns, percent, count in _steps(histogram):
        row = f"{value_ns / _NS_PER_MS:12.3f} {percent / 100:2.12f} {count:10d}"
        inverse = f" {1 / (1 - percent / 100):14.2f}" if percent < 100 else ""
        file.write(f"{row}{inverse}\n")
    mean, deviation = histogram.mean_ns / _NS_PER_MS, _deviation_ns(histogram) / _NS_PER_MS
    file.write(f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]\n")
    most = _end(histogram) / _NS_PER_MS
    file.write(f"#[Max     = {most:12.3f}, Total count    = {histogram.count:12d}]\n")
    halves = BUCKETS >> HALF_BITS
    file.write(f"#[Buckets = {halves - 1:12d}, SubBuckets     = {2 << HALF_BITS:12d}]\n")
    file.writelines(f"# {one_line(note)}\n" for note in notes)


def _steps(histogram: LatencyHistogram) -> Iterator[tuple[int, float, int]]:
    """Yields value in nanoseconds, percentile, and how many latencies are up to the value."""
    places, counts = histogram.filled()
    percent = 0.0
    for place, count in zip(places.tolist(), np.cumsum(counts).tolist(), strict=True):
        reached = 100 * count / histogram.count
        while reached >= percent:
            yield bucket_end(place), percent, count
            percent += _step(percent)
            if count == histogram.count:
                break
    if places.size:
        yield bucket_end(int(places[-1])), 100.0, histogram.count


def _step(percent: float) -> float:
    halvings = int(math.log(100 / (100 - percent)) / math.log(2)) + 1
    return 100 / (_TICKS_PER_HALF * (1 << halvings))


def _deviation_ns(histogram: LatencyHistogram) -> float:
    if not histogram.count:
        return 0.0
    places, counts = histogram.filled()
    middles = _middles(places)
    # From their own mean: from the exact one, equal latencies would deviate.
    distances = middles - counts @ middles / histogram.count
    return math.sqrt(float(counts @ distances**2) / histogram.count)


def _middles(places: Int64s) -> Int64s:
    # As in HdrHistogram: of an even number of values, the second of the two in the middle.
    starts = [bucket_start(place) for place in places.tolist()]
    ends = [bucket_end(place) for place in places.tolist()]
    return np.array([(a + b + 1) // 2 for a, b in zip(starts, ends, strict=True)], np.int64)


def _end(histogram: LatencyHistogram) -> int:
    places, _ = histogram.filled()
    return bucket_end(int(places[-1])) if places.size else 0
