"""What a dispatcher counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from tailrace.runtime import telemetry_names as names
from tailrace.submissions.records import QueueCounts, State

CLAIMS = Counter(names.DISPATCHER_CLAIMS_TOTAL, "Submissions taken from the queue.")
RESULTS = Counter(names.DISPATCHER_RESULTS_TOTAL, "Results written.", ["state"])
POSTPONED = Counter(names.DISPATCHER_POSTPONED_TOTAL, "Submissions given back.", ["reason"])
FENCED = Counter(
    names.DISPATCHER_FENCED_TOTAL, "Writes refused, or not made, as another has the submission."
)
BATCH_ROWS = Histogram(
    names.DISPATCHER_BATCH_ROWS, "Submissions run together.", buckets=names.ROW_BUCKETS
)
IN_FLIGHT = Gauge(names.DISPATCHER_BATCHES_IN_FLIGHT, "Batches in flight.")
BATCHES_LIMIT = Gauge(names.DISPATCHER_BATCHES_LIMIT, "Most batches in flight at present.")
ROWS_LIMIT = Gauge(names.DISPATCHER_BATCH_ROWS_LIMIT, "Most submissions of a batch at present.")
BREAKER_OPEN = Gauge(names.DISPATCHER_BREAKER_OPEN, "1 while the chain answers nothing, else 0.")
_SUBMISSIONS = Gauge(
    names.QUEUE_SUBMISSIONS, "Submissions in the queue Redis.", ["partition", "state"]
)
_OLDEST_SECONDS = Gauge(
    names.QUEUE_OLDEST_SECONDS, "Age of the oldest submission that waits to run.", ["partition"]
)


def tell_counts(counts: QueueCounts, now_ms: int) -> None:
    """Sets the gauges of one partition."""
    partition = str(counts.partition)
    for state in State:
        _SUBMISSIONS.labels(partition, state.name).set(counts.states.get(state, 0))
    _SUBMISSIONS.labels(partition, "DEAD").set(counts.dead_letters)
    oldest_ms = counts.oldest_queued_ms
    age_ms = 0 if oldest_ms is None else max(0, now_ms - oldest_ms)
    _OLDEST_SECONDS.labels(partition).set(age_ms / 1000)
