"""Where answers spent their time, by how long they took.

Percentiles of parts do not add up to the percentile of the whole. So the parts of answers that took
about as long as each other are added up: their means do make up the mean of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.hops.hop_names import COSTS
from tailrace.loadtest.measure.latency_histogram import (
    MAX_NS,
    Int64s,
    bucket_index,
    bucket_start,
    ranks,
)

# Bands of HdrHistogram's layout, eight for each power of two: each is 9 to 13 % wide.
_HALF_BITS = 3
_BANDS = (MAX_NS.bit_length() - _HALF_BITS + 1) << _HALF_BITS

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the time of some answers went, on the mean.

    Attributes:
        answers: how many they are.
        share: of all answers, 0 to 1.
        least_ns: the shortest of them took this or longer.
        most_ns: the longest of them took less.
        costs_ns: mean of each part on the critical path, in nanoseconds, by name, in the order of
            `COSTS`; together, the mean of the whole.
    """

    answers: int
    share: float
    least_ns: int
    most_ns: int
    costs_ns: dict[str, float]


@dataclass(slots=True, eq=False)
class CostBands:
    """Sums of the parts of answers, by the length of the whole.

    Attributes:
        counts: answers per band, shape (bands,).
        sums_ns: sums of their parts, in nanoseconds, shape (bands, len(COSTS)).
    """

    counts: Int64s = field(default_factory=lambda: np.zeros(_BANDS, np.int64))
    sums_ns: Float64s = field(default_factory=lambda: np.zeros((_BANDS, len(COSTS))))

    def record(self, whole_ns: Int64s, costs_ns: Int64s) -> None:
        """Adds answers.

        Args:
            whole_ns: how long they took, in nanoseconds, shape (n,).
            costs_ns: their parts, in nanoseconds, shape (n, len(COSTS)).
        """
        bands = bucket_index(whole_ns, _HALF_BITS)
        self.counts += np.bincount(bands, minlength=_BANDS)
        for place in np.flatnonzero(costs_ns.any(axis=0)):
            self.sums_ns[:, place] += np.bincount(bands, costs_ns[:, place], _BANDS)

    def merge(self, other: CostBands) -> None:
        """Adds what others hold."""
        self.counts += other.counts
        self.sums_ns += other.sums_ns

    def breakdown(self, low: float = 0.0, high: float = 100.0) -> Breakdown | None:
        """Returns where the time of the answers between two percentiles went.

        Bands are taken whole, so that it may be some more answers than that; `share` tells.

        Args:
            low: percentile of the whole's length, 0 to 100.
            high: another, no less.

        Returns:
            None if there is no answer.
        """
        count = int(self.counts.sum())
        if not count:
            return None
        ends = np.cumsum(self.counts)
        first, last = (int(place) for place in np.searchsorted(ends, ranks([low, high], count)))
        answers = int(self.counts[first : last + 1].sum())
        means = self.sums_ns[first : last + 1].sum(axis=0) / answers
        return Breakdown(
            answers,
            answers / count,
            bucket_start(first, _HALF_BITS),
            bucket_start(last + 1, _HALF_BITS),
            dict(zip(COSTS, means.tolist(), strict=True)),
        )
