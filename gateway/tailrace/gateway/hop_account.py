"""Counts what hop calls spent, for each request that they carried."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.gateway.convoy import Convoy
from tailrace.gateway.deadline_watch import TICK_NS
from tailrace.gateway.ledger import HopSpending
from tailrace.gateway.usual_failures import usual_failures
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.counter import Counter
from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.errors import Code, Reason, TailraceError
from tailrace.runtime.histogram import Histogram
from tailrace.runtime.pipeline.plan import Pipeline

# Where the time of a request runs out before it has departed, instead of at a hop.
QUEUE = "queue"

_LABELS = ("pipeline", "hop")
_SECONDS = Histogram(
    names.HOP_SECONDS,
    "Time of a hop call, from when the gateway turned to the hop; counted per request.",
    _LABELS,
    bounds=names.LATENCY_BUCKETS_S,
)
_QUEUE_SECONDS = Histogram(
    names.HOP_QUEUE_SECONDS,
    "Part of a hop call that waited inside the service; per request, of calls that were answered.",
    _LABELS,
    bounds=names.LATENCY_BUCKETS_S,
)
_NETWORK_SECONDS = Histogram(
    names.HOP_NETWORK_SECONDS,
    "Part of a hop call that the service did not see: packing, transport, earlier attempts; "
    "per request, of calls that were answered.",
    _LABELS,
    bounds=names.LATENCY_BUCKETS_S,
)
_WORK_SECONDS = Histogram(
    names.HOP_WORK_SECONDS,
    "Part of a hop call that the service worked; per request, of calls that were answered.",
    _LABELS,
    bounds=names.LATENCY_BUCKETS_S,
)
_BUDGET_SECONDS = Histogram(
    names.HOP_BUDGET_SECONDS,
    "Time that a hop call was granted; per request.",
    _LABELS,
    bounds=names.LATENCY_BUCKETS_S,
)
_SPENT_RATIO = Histogram(
    names.HOP_BUDGET_SPENT_RATIO,
    "Share of what a hop call was granted that it took; per request.",
    _LABELS,
    bounds=names.SHARE_BUCKETS,
)
_ATTEMPTS = Counter(
    names.HOP_ATTEMPTS_TOTAL, "Attempts at hop calls; per request, retries included.", _LABELS
)
_FAILURES = Counter(
    names.HOP_FAILURES_TOTAL,
    "Requests whose hop call failed as a whole, or was broken off when their time was over.",
    (*_LABELS, "reason"),
)
_MISSES = Counter(
    names.DEADLINE_MISSES_TOTAL,
    "Requests whose time, or whose hop's budget, ran out at a hop, or too little of which was left "
    "to begin it; at the hop `queue` before they departed.",
    _LABELS,
)


class HopAccount:
    """Counts the calls of one hop for one pipeline."""

    def __init__(self, pipeline: Pipeline, hop: str) -> None:
        """Finds the series; the hop's latency objectives become bounds."""
        self._labels = pipeline.name, hop
        bounds_s = pipeline.spec.slo.latency_bounds_s(hop)
        self._seconds = _SECONDS.labels(*self._labels, more_bounds=bounds_s)
        self._queue_seconds = _QUEUE_SECONDS.labels(*self._labels)
        self._network_seconds = _NETWORK_SECONDS.labels(*self._labels)
        self._work_seconds = _WORK_SECONDS.labels(*self._labels)
        self._budget_seconds = _BUDGET_SECONDS.labels(*self._labels)
        self._spent_ratio = _SPENT_RATIO.labels(*self._labels)
        self._attempts = _ATTEMPTS.labels(*self._labels)
        self._misses = _MISSES.labels(*self._labels)
        for reason in usual_failures(hop):
            _FAILURES.labels(*self._labels, reason)

    def ended(self, spending: HopSpending, convoy: Convoy, rows: Sequence[int]) -> None:
        """Counts a call that is over, whatever its outcome.

        Args:
            spending: its line of the ledger, finished.
            convoy: whom it was made for.
            rows: which of its rows it was asked about.
        """
        count = len(rows)
        duration_ns = spending.duration_ns
        if spending.attempts:
            trace_id = _traced(convoy)
            self._attempts.value += spending.attempts * count
            self._seconds.observe(duration_ns / NS_PER_S, count, trace_id)
            self._budget_seconds.observe(spending.budget_ns / NS_PER_S, count)
            self._spent_ratio.observe(duration_ns / max(spending.budget_ns, 1), count, trace_id)
            if spending.code == 0:
                queue_ns, work_ns = spending.queue_ns, spending.work_ns
                # As the ledger has it: a service's clock ticks for itself.
                queue_ns = min(queue_ns, duration_ns)
                work_ns = min(work_ns, duration_ns - queue_ns)
                self._queue_seconds.observe(queue_ns / NS_PER_S, count, trace_id)
                self._work_seconds.observe(work_ns / NS_PER_S, count, trace_id)
                network_ns = duration_ns - queue_ns - work_ns
                self._network_seconds.observe(network_ns / NS_PER_S, count, trace_id)
        if spending.code == Code.DEADLINE_EXCEEDED:
            self._misses.value += count
        elif convoy.earliest_deadline_ns() <= spending.end_ns + TICK_NS:
            late = sum([_late(convoy.rows[row].error) for row in rows])
            self._misses.value += late
            # Broken off, as all its rows had left: those whose time was over failed here.
            if late and spending.code == Code.CANCELLED:
                _FAILURES.labels(*self._labels, Reason.DEADLINE_EXCEEDED.name).inc(late)

    def failed(self, rows: int, error: TailraceError) -> None:
        """Counts the rows of a call that failed as a whole."""
        _FAILURES.labels(*self._labels, error.reason.name).inc(rows)

    def missed(self, rows: int) -> None:
        """Counts rows whose time was too short to begin, or ran out inside the service."""
        self._misses.value += rows


def missed_in_queue(pipeline: str) -> None:
    """Counts a request whose deadline passed before it departed."""
    _MISSES.labels(pipeline, QUEUE).inc()


def _late(error: TailraceError | None) -> bool:
    return error is not None and error.code is Code.DEADLINE_EXCEEDED


def _traced(convoy: Convoy) -> str:
    """Returns the trace in which the convoy is told, or nothing."""
    trace = convoy.trace
    return trace.trace_id if trace is not None and trace.sampled else ""
