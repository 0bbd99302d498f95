"""What calls came to, by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.measure.latency_histogram import (
    Int64s,
    bucket_end,
    bucket_index,
    ranks,
)

# Beyond, two slices become one of twice the length, so that memory is bounded however long a run.
MAX_SLICES = 240
FIRST_SLICE_NS = 250_000_000


@dataclass(slots=True, eq=False)
class TimeSlice:
    """What happened between two instants. A call counts in the slice in which it ended.

    Attributes:
        started: calls that were sent then, and are over by now; skipped ones among them.
        ended: calls that are over.
        failed: those of them that did not end with OK.
        places: buckets of `LatencyHistogram` that hold corrected latencies of the calls that
            ended, rising, shape (n,). Six bytes a bucket with its count, as there are some hundred
            buckets in each of some hundred slices.
        counts: how many latencies each holds, shape (n,).
    """

    started: int = 0
    ended: int = 0
    failed: int = 0
    places: npt.NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, np.uint16))
    counts: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeSlice):
            return NotImplemented
        numbers = self.started, self.ended, self.failed
        return (
            numbers == (other.started, other.ended, other.failed)
            and np.array_equal(self.places, other.places)
            and np.array_equal(self.counts, other.counts)
        )

    @property
    def buckets(self) -> dict[int, int]:
        """Latencies by bucket, made anew: {index: count}."""
        return dict(zip(self.places.tolist(), self.counts.tolist(), strict=True))

    def percentiles(self, percents: Sequence[float]) -> list[int]:
        """Returns the least corrected latencies that so many percent do not exceed.

        Args:
            percents: 0 to 100 each.

        Returns:
            Nanoseconds, as in `LatencyHistogram.percentiles`; 0 where there is no latency.
        """
        if not self.places.size:
            return [0] * len(percents)
        sums = np.cumsum(self.counts, dtype=np.int64)
        found = np.searchsorted(sums, ranks(percents, int(sums[-1])))
        return [bucket_end(int(place)) for place in self.places[found]]

    def merge(self, other: TimeSlice) -> None:
        """Adds what another slice holds."""
        self.started += other.started
        self.ended += other.ended
        self.failed += other.failed
        self.add_buckets(other.places, other.counts)

    def add_buckets(
        self, places: Int64s | npt.NDArray[np.uint16], counts: Int64s | npt.NDArray[np.uint32]
    ) -> None:
        """Adds latencies.

        Args:
            places: buckets, rising, shape (n,).
            counts: how many each holds, shape (n,).
        """
        if not self.places.size:
            self.places, self.counts = places.astype(np.uint16), counts.astype(np.uint32)
            return
        sums = np.zeros(int(max(self.places[-1], places.max(initial=0))) + 1, np.uint32)
        sums[self.places] = self.counts
        sums[places] += counts.astype(np.uint32)
        filled = np.flatnonzero(sums)
        self.places, self.counts = filled.astype(np.uint16), sums[filled]


@dataclass(slots=True)
class TimeSlices:
    """Slices of equal length, from the run's start on.

    Attributes:
        length_ns: length of each, in nanoseconds: `FIRST_SLICE_NS` times a power of two.
        slices: in order of time, without holes; at most `MAX_SLICES`.
    """

    length_ns: int = FIRST_SLICE_NS
    slices: list[TimeSlice] = field(default_factory=list)

    def add(self, ended_ns: Int64s, latencies_ns: Int64s, failed: Int64s) -> None:
        """Adds calls that are over, to `ended`, `failed` and `buckets`.

        Args:
            ended_ns: when they ended, in nanoseconds after the run's start, shape (n,).
            latencies_ns: their corrected latencies, shape (n,); -1 where it does not count.
            failed: 1 where they did not end with OK, else 0, shape (n,).
        """
        if not ended_ns.size:
            return
        self._reach(int(ended_ns.max()))
        places = np.maximum(ended_ns, 0) // self.length_ns
        for place in range(int(places.min()), int(places.max()) + 1):
            here = places == place
            found = self.slices[place]
            found.ended += int(np.count_nonzero(here))
            found.failed += int(failed[here].sum())
            latencies = latencies_ns[here]
            sums = np.bincount(bucket_index(latencies[latencies >= 0]))
            filled = np.flatnonzero(sums)
            found.add_buckets(filled, sums[filled])

    def add_started(self, sent_ns: Int64s) -> None:
        """Adds calls to `started`.

        Args:
            sent_ns: when they were sent, in nanoseconds after the run's start, shape (n,).
        """
        if not sent_ns.size:
            return
        self._reach(int(sent_ns.max()))
        places = np.maximum(sent_ns, 0) // self.length_ns
        counts = np.bincount(places)
        for place in np.flatnonzero(counts).tolist():
            self.slices[place].started += int(counts[place])

    def merge(self, other: TimeSlices) -> None:
        """Adds what another process recorded from the same start on."""
        while self.length_ns < other.length_ns:
            self._double()
        if other.slices:
            self._reach((len(other.slices) - 1) * other.length_ns)
        ratio = self.length_ns // other.length_ns
        for place, found in enumerate(other.slices):
            self.slices[place // ratio].merge(found)

    def _reach(self, instant_ns: int) -> None:
        while instant_ns >= MAX_SLICES * self.length_ns:
            self._double()
        missing = instant_ns // self.length_ns + 1 - len(self.slices)
        self.slices.extend(TimeSlice() for _ in range(missing))

    def _double(self) -> None:
        for first, second in zip(self.slices[::2], self.slices[1::2], strict=False):
            first.merge(second)
        self.slices = self.slices[::2]
        self.length_ns *= 2
