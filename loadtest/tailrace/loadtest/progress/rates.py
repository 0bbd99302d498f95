"""How a run goes: figures since its start, and of the last second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tailrace.loadtest.measure.latency_histogram import Int64s, LatencyHistogram
from tailrace.loadtest.measure.tally import Tally


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes.

    Attributes:
        seconds: since the start.
        over: calls that are over.
        failed: those of them that count and did not end with OK.
        in_flight: calls that were made and are not over.
        rate: calls that were over a second, lately.
        mean_rate: the same since the start.
        recent: p50 and p99 of latencies lately, in nanoseconds; None if none counts.
        overall: the same since the start.
        lost: processes that ended before their load was over.
    """

    seconds: float
    over: int
    failed: int
    in_flight: int
    rate: float
    mean_rate: float
    recent: tuple[int, int] | None
    overall: tuple[int, int] | None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Point:
    seconds: float
    over: int
    latencies: int
    counts: Int64s


class Rates:
    """Turns tallies, which count from the start, into what happened lately."""

    def __init__(self, window_s: float) -> None:
        """Begins at the start of a run.

        Args:
            window_s: how far back `lately` is, in seconds.
        """
        self._window_s = window_s
        empty = LatencyHistogram()
        self._points = deque([_Point(0.0, 0, 0, empty.counts)])

    def add(self, tally: Tally, seconds: float) -> Pace:
        """Returns how it goes.

        Args:
            tally: of all processes, since the start.
            seconds: since then; no less than the last time.
        """
        over = tally.ended + tally.skipped
        latencies = tally.corrected
        now = _Point(seconds, over, latencies.count, latencies.counts.copy())
        points = self._points
        # The last one that is a whole window back stays, to count from.
        while len(points) > 1 and points[1].seconds <= seconds - self._window_s:
            points.popleft()
        before = points[0]
        points.append(now)
        elapsed = seconds - before.seconds
        lately = LatencyHistogram(
            counts=now.counts - before.counts,
            count=now.latencies - before.latencies,
            # Not known of a part; it only bounds what percentiles tell.
            maximum_ns=latencies.maximum_ns,
        )
        return Pace(
            seconds=seconds,
            over=over,
            failed=tally.failed,
            in_flight=max(tally.started - over - tally.unknown, 0),
            rate=(over - before.over) / elapsed if elapsed > 0 else 0.0,
            mean_rate=over / seconds if seconds > 0 else 0.0,
            recent=_percentiles(lately),
            overall=_percentiles(latencies),
            lost=tally.lost,
        )


def _percentiles(latencies: LatencyHistogram) -> tuple[int, int] | None:
    if not latencies.count:
        return None
    median, most = latencies.percentiles([50, 99])
    return median, most
