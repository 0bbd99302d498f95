"""Latencies in bounded memory, as HdrHistogram records them.

The layout is HdrHistogram's (https://hdrhistogram.github.io/HdrHistogram/): 2,048 buckets of one
nanosecond, then 1,024 for each further power of two, so that every value is kept to three
significant digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

HALF_BITS = 10
_HALF = 1 << HALF_BITS
MAX_NS = 3_600_000_000_000
BUCKETS = (MAX_NS.bit_length() - HALF_BITS + 1) * _HALF


def _empty() -> Int64s:
    return np.zeros(BUCKETS, np.int64)


@dataclass(slots=True, eq=False)
class LatencyHistogram:
    """Counts of latencies, from 1 ns to an hour, to three significant digits.

    Attributes:
        counts: how many latencies each bucket has, shape (buckets,).
        count: how many there are.
        total_ns: their exact sum.
        minimum_ns: the exact least; 0 if there is none.
        maximum_ns: the exact largest; 0 if there is none.
    """

    counts: Int64s = field(default_factory=_empty)
    count: int = 0
    total_ns: int = 0
    minimum_ns: int = 0
    maximum_ns: int = 0

    def record(self, latencies_ns: Int64s) -> None:
        """Adds latencies; those below 1 ns count as 1 ns, those above an hour as an hour.

        Args:
            latencies_ns: nanoseconds, shape (n,).
        """
        if not latencies_ns.size:
            return
        values = np.clip(latencies_ns, 1, MAX_NS)
        # Touches the buckets that are meant, where a sum of two arrays would touch all.
        np.add.at(self.counts, bucket_index(values), 1)
        least, most = int(values.min()), int(values.max())
        self.minimum_ns = least if not self.count else min(self.minimum_ns, least)
        self.maximum_ns = max(self.maximum_ns, most)
        self.count += values.size
        self.total_ns += int(values.sum())

    def record_buckets(self, buckets: Mapping[int, int]) -> None:
        """Adds latencies of which only the buckets are known; each counts as its bucket's end.

        Args:
            buckets: how many latencies each bucket has, by its index.
        """
        if not buckets:
            return
        places = np.fromiter(buckets, np.int64, len(buckets))
        counts = np.fromiter(buckets.values(), np.int64, len(buckets))
        ends = np.array([bucket_end(place) for place in buckets], np.int64)
        np.add.at(self.counts, places, counts)
        least = int(ends.min())
        self.minimum_ns = least if not self.count else min(self.minimum_ns, least)
        self.maximum_ns = max(self.maximum_ns, int(ends.max()))
        self.count += int(counts.sum())
        self.total_ns += int(ends @ counts)

    def merge(self, other: LatencyHistogram) -> None:
        """Adds what another histogram holds."""
        if not other.count:
            return
        least = other.minimum_ns
        self.minimum_ns = least if not self.count else min(self.minimum_ns, least)
        self.maximum_ns = max(self.maximum_ns, other.maximum_ns)
        self.counts += other.counts
        self.count += other.count
        self.total_ns += other.total_ns

    @property
    def mean_ns(self) -> float:
        """The exact mean; 0 if there is none."""
        return self.total_ns / self.count if self.count else 0.0

    def percentile(self, percent: float) -> int:
        """Returns the least latency that so many percent of all do not exceed.

        Args:
            percent: 0 to 100.

        Returns:
            Nanoseconds: the upper end of its bucket, no more than the exact maximum; 0 if there
            is none.
        """
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Sequence[float]) -> list[int]:
        """Returns `percentile` of each."""
        if not self.count:
            return [0] * len(percents)
        places = np.searchsorted(np.cumsum(self.counts), ranks(percents, self.count))
        return [min(bucket_end(int(place)), self.maximum_ns) for place in places]

    def filled(self) -> tuple[Int64s, Int64s]:
        """Returns the buckets that hold anything: their indices and their counts, shape (n,)."""
        places = np.flatnonzero(self.counts)
        return places, self.counts[places]

    def __getstate__(self) -> tuple[bytes, bytes, int, int, int, int]:
        # Most buckets are empty, and processes tell each other some times a second.
        places, counts = self.filled()
        packed = places.astype(np.int32).tobytes(), counts.tobytes()
        return *packed, self.count, self.total_ns, self.minimum_ns, self.maximum_ns

    def __setstate__(self, state: tuple[bytes, bytes, int, int, int, int]) -> None:
        places, counts, self.count, self.total_ns, self.minimum_ns, self.maximum_ns = state
        self.counts = _empty()
        self.counts[np.frombuffer(places, np.int32)] = np.frombuffer(counts, np.int64)


def ranks(percents: npt.ArrayLike, counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns which of so many, counted from 1 in rising order, so many percent do not exceed.

    Args:
        percents: 0 to 100, of a shape that fits that of `counts`.
        counts: how many there are.
    """
    # The share is rounded in binary: a millionth of a call must not cost a whole one.
    exact = np.asarray(percents, np.float64) * np.asarray(counts) / 100 - 1e-6
    found: npt.NDArray[np.float64] = np.maximum(np.ceil(exact), 1)
    return found


def bucket_start(index: int, half_bits: int = HALF_BITS) -> int:
    """Returns the least latency of a bucket, in nanoseconds.

    Args:
        index: of the bucket.
        half_bits: 2 to that power is how many buckets each power of two has.
    """
    half = 1 << half_bits
    if index < 2 * half:
        return index
    return ((index & (half - 1)) + half) << ((index >> half_bits) - 1)


def bucket_end(index: int) -> int:
    """Returns the largest latency of a bucket, in nanoseconds."""
    return bucket_start(index + 1) - 1


def bucket_index(latencies_ns: Int64s, half_bits: int = HALF_BITS) -> Int64s:
    """Returns the buckets that latencies belong to.

    Args:
        latencies_ns: nanoseconds, shape (n,); what is out of range counts as what is nearest.
        half_bits: 2 to that power is how many buckets each power of two has.

    Returns:
        Indices, shape (n,).
    """
    values = np.clip(latencies_ns, 1, MAX_NS)
    # Exact below 2**53: what frexp calls the exponent of a whole number is its bit length.
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    shifts = np.maximum(bits - half_bits - 1, 0)
    index: Int64s = (shifts << half_bits) + (values >> shifts)
    return index
