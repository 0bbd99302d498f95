"""The figures that every form of ghz's reports is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from tailrace.loadtest.measure.latency_histogram import (
    LatencyHistogram,
    bucket_end,
)
from tailrace.loadtest.measure.run_result import EndReason, RunResult

PERCENTAGES = (10, 25, 50, 75, 90, 95, 99)
# Ten steps from the least latency to the largest.
_STEPS = 10


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar of the response time histogram.

    Attributes:
        mark_s: its upper end, in seconds.
        count: calls that took no longer, and longer than the mark before.
        frequency: their share of all, 0 to 1.
    """

    mark_s: float
    count: int
    frequency: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A run in ghz's figures; latencies are corrected ones, in nanoseconds.

    Attributes:
        date: when the run ended, which is ghz's date of it.
        end_reason: why it ended; `timeout`, too, where `duration` is what was asked for.
        count: calls that count, failed ones too.
        total_ns: the run's length.
        average_ns: mean latency of the calls whose latency counts.
        fastest_ns: the least; 0 if there is none.
        slowest_ns: the largest; 0 if there is none.
        rps: calls a second.
        errors: calls by their error's text, most first.
        error_count: their number.
        statuses: calls by the name of their status, most first.
        distribution: latencies by percentage; empty if there is none.
        histogram: eleven marks; empty if there is no latency.
    """

    date: datetime
    end_reason: str
    count: int
    total_ns: int
    average_ns: int
    fastest_ns: int
    slowest_ns: int
    rps: float
    errors: dict[str, int]
    error_count: int
    statuses: dict[str, int]
    distribution: dict[int, int]
    histogram: list[Mark]


def figures(result: RunResult) -> Figures:
    """Returns ghz's figures of a run."""
    tally = result.tally
    latencies = tally.corrected
    timed = result.options.duration > 0 and result.end_reason is EndReason.NORMAL
    percentiles = latencies.percentiles(PERCENTAGES) if latencies.count else []
    return Figures(
        date=result.date + timedelta(microseconds=result.duration_ns // 1000),
        end_reason=str(EndReason.TIMEOUT if timed else result.end_reason),
        count=tally.ended,
        total_ns=result.duration_ns,
        average_ns=int(latencies.mean_ns),
        fastest_ns=latencies.minimum_ns,
        slowest_ns=latencies.maximum_ns,
        rps=result.rps,
        errors=most_first(tally.errors),
        error_count=sum(tally.errors.values()),
        statuses=most_first(tally.statuses),
        distribution=dict(zip(PERCENTAGES, percentiles, strict=False)),
        histogram=marks(latencies),
    )


def marks(latencies: LatencyHistogram) -> list[Mark]:
    """Returns eleven marks from the least to the largest latency, evenly apart; as ghz does.

    Each bucket counts whole under the mark that its upper end does not exceed. The first mark is
    the least latency itself.
    """
    if not latencies.count:
        return []
    least, most = latencies.minimum_ns, latencies.maximum_ns
    ends = np.linspace(least, most, _STEPS + 1)
    places, counts = latencies.filled()
    values = np.array([min(bucket_end(int(place)), most) for place in places])
    under = np.searchsorted(ends, values)
    bars = np.bincount(under, counts, minlength=_STEPS + 1).astype(np.int64)
    if under[0] > 0:
        # One call at least took the least latency, however wide its bucket is.
        bars[under[0]] -= 1
        bars[0] += 1
    return [
        Mark(float(end) / 1e9, int(bar), int(bar) / latencies.count)
        for end, bar in zip(ends, bars, strict=True)
    ]


def most_first(counts: dict[str, int]) -> dict[str, int]:
    """Returns counts in order, the largest first; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
