"""What calls came to, by time."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.loadtest.measure.latency_histogram import Int64s

# Beyond, two slices become one of twice the length, so that memory is bounded however long a run.
MAX_SLICES = 240
FIRST_SLICE_NS = 250_000_000


@dataclass(slots=True)
class TimeSlice:
    """What happened between two instants. A call counts in the slice in which it ended.

    Attributes:
        started: calls that were made.
        ended: calls that are over.
        failed: those of them that did not end with OK.
        buckets: buckets of `LatencyHistogram` that hold corrected latencies of the calls that
            ended, and how many: {index: count}.
    """

    started: int = 0
    ended: int = 0
    failed: int = 0
    buckets: dict[int, int] = field(default_factory=dict)


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
        """Adds calls that are over.

        Args:
            ended_ns: when they ended, in nanoseconds after the run's start, shape (n,).
            latencies_ns: their corrected latencies, shape (n,); -1 where it does not count.
            failed: 1 where they did not end with OK, else 0, shape (n,).
        """
        raise NotImplementedError

    def merge(self, other: TimeSlices) -> None:
        """Adds what another process recorded from the same start on."""
        raise NotImplementedError
