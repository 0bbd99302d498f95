"""What slices of time say: when a load was well again, and whether it became slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.loadtest.measure.latency_histogram import bucket_end
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.measure.time_slices import TimeSlice

# So long has to be well what is well again: a single good moment is none.
SETTLED_S = 2.0
_NS = 1e9


@dataclass(frozen=True, slots=True)
class Recovery:
    """When a load was well again.

    Attributes:
        seconds: from the given instant until the beginning of the first `SETTLED_S` in which all
            slices were well, or which the load's end cuts short; None if there is none.
        bad: slices since then that were not well.
        slices: slices since then that have calls in them.
        length_s: length of a slice: no more exact than this.
    """

    seconds: float | None
    bad: int
    slices: int
    length_s: float


def bad_share(tally: Tally, until_ns: float, p99_ns: float, errors: float) -> float | None:
    """Returns which share of slices was not well, of those that ended before an instant.

    Args:
        tally: of the load.
        until_ns: the instant, on the monotonic clock.
        p99_ns: as in `recovery`.
        errors: as in `recovery`.

    Returns:
        0 to 1; None if there is less than `SETTLED_S` of them.
    """
    length = tally.slices.length_ns
    well = [
        _is_well(one, p99_ns, errors)
        for place, one in enumerate(tally.slices.slices)
        if one.ended and tally.first_ns + (place + 1) * length <= until_ns
    ]
    return well.count(False) / len(well) if len(well) * length >= SETTLED_S * _NS else None


def recovery(tally: Tally, since_ns: int, p99_ns: float, errors: float) -> Recovery:
    """Returns when a load was well again.

    A slice is well if no more than 1 % of its calls, or a single one, took longer than `p99_ns`,
    and no more than the allowed share failed.

    Args:
        tally: of the load.
        since_ns: from when on, on the monotonic clock.
        p99_ns: latency that 99 % of a slice's calls must keep, in nanoseconds.
        errors: largest share of a slice's calls that may fail, 0 to 1.
    """
    length = tally.slices.length_ns
    # When each slice ends, and whether it is well.
    slices = [
        (tally.first_ns + (place + 1) * length, _is_well(one, p99_ns, errors))
        for place, one in enumerate(tally.slices.slices)
        if one.ended
    ]
    slices = [(ends, well) for ends, well in slices if ends > since_ns]
    bad = sum(not well for _, well in slices)
    begins = since_ns
    seconds: float | None = None
    for ends, well in slices:
        if not well:
            begins = ends
        elif ends - begins >= SETTLED_S * _NS or ends == slices[-1][0]:
            seconds = max(0.0, (begins - since_ns) / _NS)
            break
    return Recovery(seconds, bad, len(slices), length / _NS)


def _is_well(one: TimeSlice, p99_ns: float, errors: float) -> bool:
    slow = sum(count for bucket, count in one.buckets.items() if bucket_end(bucket) > p99_ns)
    return slow <= max(1, one.ended // 100) and one.failed <= errors * one.ended


@dataclass(frozen=True, slots=True)
class Drift:
    """How latencies of the last third of a load compare with those of its first third.

    Attributes:
        percent: which percentile.
        first_ns: of the first third, in nanoseconds.
        last_ns: of the last third.
        first_span: when the first third began and ended, in seconds on the monotonic clock.
        last_span: the same of the last third.
        first_calls: calls that ended in the first third.
        last_calls: calls that ended in the last.
    """

    percent: float
    first_ns: int
    last_ns: int
    first_span: tuple[float, float]
    last_span: tuple[float, float]
    first_calls: int
    last_calls: int

    @property
    def ratio(self) -> float:
        """By how much it became longer, such as 0.1 for a tenth; 0 without calls."""
        return self.last_ns / self.first_ns - 1 if self.first_ns else 0.0


def drift(tally: Tally, percents: Sequence[float]) -> list[Drift]:
    """Returns how latencies changed. Slices without calls at either end do not count."""
    slices = tally.slices
    places = [place for place, one in enumerate(slices.slices) if one.ended]
    third = len(places) // 3
    thirds, spans = [], []
    for part in (places[:third], places[len(places) - third :]):
        whole = TimeSlice()
        for place in part:
            whole.merge(slices.slices[place])
        ends = (part[0], part[-1] + 1) if part else (0, 0)
        begin, end = ((tally.first_ns + place * slices.length_ns) / _NS for place in ends)
        thirds.append(whole)
        spans.append((begin, min(end, tally.last_ns / _NS)))
    first, last = thirds
    latencies = zip(percents, first.percentiles(percents), last.percentiles(percents), strict=True)
    return [
        Drift(percent, before, after, spans[0], spans[1], first.ended, last.ended)
        for percent, before, after in latencies
    ]
