"""What Tailrace's answers said: where their time went, and how good they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tailrace.loadtest.hops.cost_bands import CostBands
from tailrace.loadtest.hops.hop_names import SPANS
from tailrace.loadtest.measure.latency_histogram import Int64s, LatencyHistogram

# Kinds of reasons, and of errors, that are told apart; the rest count together.
MAX_KINDS = 100
OTHER_KINDS = "(others)"
LIVE = "LIVE"


@dataclass(slots=True)
class HopCounts:
    """How a hop was called for answers.

    Attributes:
        answers: that have an entry of it in their ledger.
        critical: those in which it was on the critical path.
        retried: those for which it was called more than once.
        failed: those for which it was not answered OK.
        busy_ns: the hop's work for them, in nanoseconds; of a convoy's work, each of its requests
            has an equal share.
    """

    answers: int = 0
    critical: int = 0
    retried: int = 0
    failed: int = 0
    busy_ns: float = 0.0

    def merge(self, other: HopCounts) -> None:
        """Adds what another holds."""
        self.answers += other.answers
        self.critical += other.critical
        self.retried += other.retried
        self.failed += other.failed
        self.busy_ns += other.busy_ns


@dataclass(slots=True)
class HopTally:
    """What answers said: an `AnswerTally`. Memory is bounded, whatever servers tell.

    An answer is one prediction: a call has one, a batch or a stream many. Each is either `good`,
    `degraded` or `late`.

    Attributes:
        histograms: how long each of `SPANS` took; only those that came up. See `span`.
        hops: how each hop was called, by name; only those that came up.
        bands: where the time went, by how long it took.
        qualities: answers by quality, such as `LIVE` or `STALE_FEATURES`.
        reasons: why answers were not live, such as `STALE_FEATURES features: plane: stale`.
        errors: requests inside batches, streams and submissions that have an error in place of an
            answer, such as `RESOURCE_EXHAUSTED QUEUE_FULL`.
        good: answers within the deadline, and `LIVE`.
        degraded: answers within the deadline, but not `LIVE`.
        late: answers after the deadline that the gateway had granted, by the caller's clock; by
            the gateway's, where latencies are of whole streams.
        pending: submissions without an outcome when they were asked for.
        unreadable: messages that were no answer of Tailrace's.
    """

    histograms: dict[str, LatencyHistogram] = field(default_factory=dict)
    hops: dict[str, HopCounts] = field(default_factory=dict)
    bands: CostBands = field(default_factory=CostBands)
    qualities: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    good: int = 0
    degraded: int = 0
    late: int = 0
    pending: int = 0
    unreadable: int = 0

    @property
    def answered(self) -> int:
        """Predictions that were made."""
        return self.good + self.degraded + self.late

    @property
    def failed(self) -> int:
        """Requests inside answers that have an error in place of a prediction."""
        return sum(self.errors.values())

    def requests(self, failed_calls: int = 0) -> int:
        """Returns how many requests were made, but for submissions that are pending.

        Args:
            failed_calls: calls without an answer, `Tally.failed`: each counts as one request.
        """
        return self.answered + self.failed + self.unreadable + failed_calls

    def goodput(self, failed_calls: int = 0) -> float:
        """Returns the share of `requests` that have a good answer, 0 to 1; 0 without requests."""
        requests = self.requests(failed_calls)
        return self.good / requests if requests else 0.0

    def quality_share(self, quality: str) -> float:
        """Returns the share of answers of a quality, such as `LIVE`, 0 to 1; 0 without answers."""
        return self.qualities.get(quality, 0) / self.answered if self.answered else 0.0

    @property
    def live(self) -> float:
        """The share of answers that are `LIVE`, 0 to 1, late ones too; 0 without answers."""
        return self.quality_share(LIVE)

    def span(self, name: str) -> LatencyHistogram:
        """Returns how long something took, empty if it did not come up.

        Args:
            name: one of `SPANS`, such as `features` or `features.queue`.

        Raises:
            KeyError: it is none of them.
        """
        if name not in SPANS:
            raise KeyError(name)
        return self.histograms.get(name) or LatencyHistogram()

    def record(self, name: str, latencies_ns: Int64s) -> None:
        """Adds to a span.

        Args:
            name: one of `SPANS`.
            latencies_ns: nanoseconds, shape (n,).
        """
        if latencies_ns.size:
            self._histogram(name).record(latencies_ns)

    def merge(self, other: HopTally) -> None:
        """Adds what another process found."""
        for name, histogram in other.histograms.items():
            self._histogram(name).merge(histogram)
        for hop, counts in other.hops.items():
            self.hops.setdefault(hop, HopCounts()).merge(counts)
        self.bands.merge(other.bands)
        for mine, theirs in (
            (self.qualities, other.qualities),
            (self.reasons, other.reasons),
            (self.errors, other.errors),
        ):
            for kind, count in theirs.items():
                count_kind(mine, kind, count)
        self.good += other.good
        self.degraded += other.degraded
        self.late += other.late
        self.pending += other.pending
        self.unreadable += other.unreadable

    def _histogram(self, name: str) -> LatencyHistogram:
        # Not by `setdefault`: an empty one is large.
        if name not in self.histograms:
            self.histograms[name] = LatencyHistogram()
        return self.histograms[name]

    def __reduce__(self) -> tuple[Any, ...]:
        # Most buckets are empty, and workers tell their tallies some times a second.
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["histograms"] = {
            name: (*histogram.filled(), histogram.count, histogram.total_ns)
            + (histogram.minimum_ns, histogram.maximum_ns)
            for name, histogram in self.histograms.items()
        }
        return _unpickled, (fields,)


def count_kind(counts: dict[str, int], kind: str, count: int = 1) -> None:
    """Adds to a count by kind, and to `OTHER_KINDS` where there are too many kinds."""
    if kind not in counts and len(counts) >= MAX_KINDS:
        kind = OTHER_KINDS
    counts[kind] = counts.get(kind, 0) + count


def _unpickled(fields: dict[str, Any]) -> HopTally:
    for name, (places, counts, *sums) in fields["histograms"].items():
        histogram = LatencyHistogram()
        histogram.counts[places] = counts
        histogram.count, histogram.total_ns, histogram.minimum_ns, histogram.maximum_ns = sums
        fields["histograms"][name] = histogram
    return HopTally(**fields)
