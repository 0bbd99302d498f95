"""How sure a figure of a run is, from how it varied while the run went on.

Latencies within a second are not independent of each other: calls wait for the same queue. So not
calls are drawn, but slices of time, some that follow each other at a time: the circular block
bootstrap (D. N. Politis and J. P. Romano, "A circular block-resampling procedure for stationary
data", in Exploring the Limits of Bootstrap, 1992). The more a slice is like the one before it, the
longer are the blocks, as E. Carlstein found for autoregressive series ("The use of subseries values
for estimating the variance of a general statistic from a stationary sequence", Annals of Statistics
14, 1986).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.measure.latency_histogram import Int64s, bucket_end, ranks
from tailrace.loadtest.measure.time_slices import TimeSlice, TimeSlices

Float64s = npt.NDArray[np.float64]

DRAWS = 1_000
_AT_A_TIME = 200
_MOST_LIKE = 0.95
# The normal distribution's 97.5 % quantile.
_NORMAL = 1.959964


@dataclass(frozen=True, slots=True)
class SlicedRun:
    """A run by slices of time, of which n are in order and m buckets hold any latency.

    Attributes:
        latencies_ns: the largest latency of each bucket, shape (m,), rising.
        counts: latencies, shape (n, m).
        ended: calls that ended, shape (n,).
        failed: those of them that failed, shape (n,).
        seconds: length, shape (n,).
    """

    latencies_ns: Int64s
    counts: Float64s
    ended: Float64s
    failed: Float64s
    seconds: Float64s

    def __len__(self) -> int:
        return len(self.ended)


def sliced_run(slices: TimeSlices, duration_ns: int) -> SlicedRun:
    """Returns a run from where its duration begins to where it ends.

    Its slices together are as long as the run. Less than half of one at its end is part of the one
    before it.

    Args:
        slices: of the run.
        duration_ns: of the run.
    """
    # Where the last calls were left out of account, it goes on after the last that counts.
    least = -(-duration_ns // slices.length_ns)
    missing = least - len(slices.slices)
    found_slices = [*slices.slices, *(TimeSlice() for _ in range(missing))]
    ended = [found.ended for found in found_slices]
    last = len(ended) - next((place for place, count in enumerate(ended[::-1]) if count), 0)
    last = max(last, least)
    first = 0
    # What came before the first call that counts is no part of the run.
    while not any(ended[: first + 1]) and (last - first - 1) * slices.length_ns >= duration_ns:
        first += 1
    used = found_slices[first:last]
    places = np.unique(np.concatenate([np.empty(0, np.uint16), *(found.places for found in used)]))
    counts = np.zeros((len(used), len(places)))
    for row, found in zip(counts, used, strict=True):
        row[np.searchsorted(places, found.places)] = found.counts
    seconds = np.full(len(used), slices.length_ns / 1e9)
    table = np.column_stack(
        [
            np.array([found.ended for found in used], float),
            np.array([found.failed for found in used], float),
            seconds,
            counts,
        ]
    )
    if used:
        rest = duration_ns / 1e9 - seconds[:-1].sum()
        table[-1, 2] = np.clip(rest, 0.0, seconds[-1])
        # Before the first call was due, some of the first slice was over.
        table[0, 2] += min(rest, 0.0)
        if len(used) > 1 and rest < seconds[-1] / 2:
            table[-2] += table[-1]
            table = table[:-1]
    ends = np.array([bucket_end(place) for place in places.tolist()], np.int64)
    return SlicedRun(ends, table[:, 3:], table[:, 0], table[:, 1], table[:, 2])


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a run, or of as many runs as were drawn from it: shape (draws,) each.

    Attributes:
        latencies_ns: percentiles, and their mean, by name; NaN where there is no latency.
        rps: calls that ended, a second.
        errors: share of them that failed.
    """

    latencies_ns: dict[str, Float64s]
    rps: Float64s
    errors: Float64s


def measured(run: SlicedRun, percents: tuple[float, ...]) -> Figures:
    """Returns the figures of the run itself, shape (1,).

    Args:
        run: the run; at least one slice.
        percents: percentiles, 0 to 100.
    """
    return _figures(run, np.ones((1, len(run))), percents)


def drawn(run: SlicedRun, percents: tuple[float, ...], random: np.random.Generator) -> Figures:
    """Returns the figures of `DRAWS` runs drawn from a run, shape (DRAWS,).

    Args:
        run: the run; at least one slice.
        percents: percentiles, 0 to 100.
        random: what draws.
    """
    weights = _weights(len(run), block_slices(run), random)
    parts = [
        _figures(run, weights[begin : begin + _AT_A_TIME], percents)
        for begin in range(0, DRAWS, _AT_A_TIME)
    ]
    return Figures(
        {
            name: np.concatenate([part.latencies_ns[name] for part in parts])
            for name in parts[0].latencies_ns
        },
        np.concatenate([part.rps for part in parts]),
        np.concatenate([part.errors for part in parts]),
    )


def widening(first: SlicedRun, second: SlicedRun) -> float:
    """Returns by how much intervals of drawn changes between two runs have to be widened.

    Few blocks tell less than their number of how much a run varies: Student's quantile stands in
    place of the normal one (M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions,
    26.7.5), and the variance has the mean taken from the same blocks.
    """
    blocks = [len(run) / block_slices(run) for run in (first, second)]
    freedom = sum(blocks) - 2
    z = _NORMAL
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return student / z * max(math.sqrt(number / (number - 1)) for number in blocks)


def block_slices(run: SlicedRun) -> int:
    """Returns how many slices that follow each other are drawn together.

    Carlstein's length, for the likeness of a slice to the one before it (lag-1 autocorrelation,
    less its bias in short series: M. G. Kendall, Biometrika 41, 1954), no more than a quarter.
    """
    slices = len(run)
    answered = run.counts.sum(axis=1)
    rows = answered > 0
    levels = run.counts[rows] @ np.log(run.latencies_ns) / answered[rows]
    found = [_likeness(levels), _likeness(run.ended / run.seconds)]
    # A slice unlike the one before it depends on it, too: after a pause, more calls end than usual.
    likeness = max(abs(one + (1 + 3 * one) / slices) for one in found)
    likeness = min(likeness, _MOST_LIKE)
    length = math.cbrt(slices * 6 * likeness**2 / (1 - likeness**2) ** 2)
    return max(1, min(round(length), slices // 4))


def _likeness(levels: Float64s) -> float:
    distances = levels - levels.mean() if levels.size else levels
    whole = float(distances @ distances)
    return float(distances[1:] @ distances[:-1]) / whole if whole else 0.0


def _weights(slices: int, length: int, random: np.random.Generator) -> Float64s:
    """Returns how often each slice is in each draw, shape (DRAWS, slices)."""
    starts = random.integers(0, slices, (DRAWS, -(-slices // length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(DRAWS, -1)[:, :slices] % slices
    rows = np.arange(DRAWS)[:, None] * slices
    flat = np.bincount((places + rows).ravel(), minlength=DRAWS * slices)
    return flat.reshape(DRAWS, slices).astype(np.float64)


def _figures(run: SlicedRun, weights: Float64s, percents: tuple[float, ...]) -> Figures:
    counts = weights @ run.counts
    sums = np.cumsum(counts, axis=1)
    totals = sums[:, -1] if sums.shape[1] else np.zeros(len(weights))
    empty = totals == 0
    latencies = {}
    for percent in percents:
        wanted = ranks(percent, totals)
        latencies[f"p{percent:g}"] = _at(run, (sums < wanted[:, None]).sum(axis=1), empty)
    ended = weights @ run.ended
    with np.errstate(invalid="ignore", divide="ignore"):
        latencies["mean"] = counts @ run.latencies_ns / totals
        return Figures(latencies, ended / (weights @ run.seconds), weights @ run.failed / ended)


def _at(run: SlicedRun, places: Int64s, empty: npt.NDArray[np.bool_]) -> Float64s:
    found = np.full(len(places), np.nan)
    found[~empty] = run.latencies_ns[places[~empty]]
    return found
