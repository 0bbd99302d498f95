"""What slices of time say: when a load was well again, and whether it became slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.loadtest.measure.latency_histogram import bucket_end
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.measure.time_slices import TimeSlice

_NS = 1e9


@dataclass(frozen=True, slots=True)
class Recovery:
    """When a load was well again.

    Attributes:
        seconds: from the given instant until the end of the last slice that was not well; 0 if all
            were, None if the last slice with calls in it was not.
        bad: slices since then that were not well.
        slices: slices since then that have calls in them.
        length_s: length of a slice: no more exact than this.
    """

    seconds: float | None
    bad: int
    slices: int
    length_s: float


def recovery(tally: Tally, since_ns: int, p99_ns: float, errors: float) -> Recovery:
    """Returns when a load was well again.

    Args:
        tally: of the load.
        since_ns: from when on, on the monotonic clock.
        p99_ns: latency that 99 % of a slice's calls must keep, in nanoseconds.
        errors: largest share of a slice's calls that may fail, 0 to 1.
    """
    length = tally.slices.length_ns
    last_bad: int | None = None
    bad = seen = 0
    for place, one in enumerate(tally.slices.slices):
        ends = tally.first_ns + (place + 1) * length
        if ends <= since_ns or not one.ended:
            continue
        seen += 1
        if _percentile([one], 99) > p99_ns or one.failed > errors * one.ended:
            bad += 1
            last_bad = ends
    filled = [place for place, one in enumerate(tally.slices.slices) if one.ended]
    last_ends = tally.first_ns + (filled[-1] + 1) * length if filled else 0
    if not bad:
        seconds: float | None = 0.0 if seen else None
    elif last_bad == last_ends:
        seconds = None
    else:
        assert last_bad is not None
        seconds = (last_bad - since_ns) / _NS
    return Recovery(seconds, bad, seen, length / _NS)


@dataclass(frozen=True, slots=True)
class Drift:
    """How latencies of the last third of a load compare with those of its first third.

    Attributes:
        percent: which percentile.
        first_ns: of the first third, in nanoseconds.
        last_ns: of the last third.
    """

    percent: float
    first_ns: int
    last_ns: int

    @property
    def ratio(self) -> float:
        """By how much it became longer, such as 0.1 for a tenth; 0 without calls."""
        return self.last_ns / self.first_ns - 1 if self.first_ns else 0.0


def drift(tally: Tally, percents: Sequence[float]) -> list[Drift]:
    """Returns how latencies changed. Slices without calls at either end do not count."""
    slices = [one for one in tally.slices.slices if one.ended]
    third = len(slices) // 3
    return [
        Drift(percent, _percentile(slices[:third], percent), _percentile(slices[-third:], percent))
        if third
        else Drift(percent, 0, 0)
        for percent in percents
    ]


def _percentile(slices: Sequence[TimeSlice], percent: float) -> int:
    """Returns a percentile of the latencies of some slices, in nanoseconds; 0 without any."""
    counts: dict[int, int] = {}
    for one in slices:
        for bucket, count in one.buckets.items():
            counts[bucket] = counts.get(bucket, 0) + count
    # As in `LatencyHistogram`: a millionth of a call must not cost a whole one.
    rank = max(sum(counts.values()) * percent / 100 - 1e-6, 0)
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= rank:
            return bucket_end(bucket)
    return 0
