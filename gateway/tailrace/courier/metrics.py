"""What a courier counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Gauge, Histogram

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.runtime.histogram import Histogram as RowHistogram
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.submissions.push.outcome import PushOutcome
from tailrace.submissions.records import DeadReason, DeliveryClaim, DeliveryResult
from tailrace.submissions.store import SubmissionStore

COUNTS_EVERY_S = 5.0

ATTEMPTS = Counter(names.COURIER_ATTEMPTS_TOTAL, "Attempts at delivering.", ["result"])
MESSAGE_SECONDS = Histogram(
    names.COURIER_MESSAGE_SECONDS, "Time of a message.", buckets=names.LATENCY_BUCKETS_S
)
MESSAGE_ROWS = Histogram(
    names.COURIER_MESSAGE_ROWS, "Results of a message.", buckets=names.ROW_BUCKETS
)
DELIVERED = Counter(names.COURIER_DELIVERED_TOTAL, "Results delivered, as written.")
DEAD = Counter(names.COURIER_DEAD_TOTAL, "Results given up.", ["reason"])
# Prometheus takes no growth from a series that begins above zero.
for _reason in DeadReason:
    DEAD.labels(_reason.value)
FENCED = Counter(names.COURIER_FENCED_TOTAL, "Attempts not written, as another courier has them.")
DELIVERY_SECONDS = RowHistogram(
    names.COURIER_DELIVERY_SECONDS,
    "Time from a final state to its delivery.",
    ["pipeline"],
    bounds=names.DELIVERY_BUCKETS_S,
)
IN_FLIGHT = Gauge(names.COURIER_MESSAGES_IN_FLIGHT, "Messages in flight.")
BREAKERS = Gauge(names.COURIER_BREAKERS, "Callbacks by state of their breaker.", ["state"])
UNWRITTEN = Gauge(names.COURIER_UNWRITTEN, "Attempts that are not written yet.")
PUBLISHED = Counter(names.COURIER_PUBLISHED_TOTAL, "Results put into the output stream.")
_PENDING = Gauge(names.QUEUE_DELIVERIES, "Results that wait to be delivered.", ["partition"])
_DUE_SECONDS = Gauge(
    names.QUEUE_DUE_SECONDS, "How long the oldest delivery has been due.", ["partition"]
)

_log = structlog.get_logger(__name__)


def count_attempts(outcomes: Sequence[PushOutcome]) -> None:
    """Counts what came of a message; the label is one of a bounded set."""
    first = outcomes[0]
    if all(outcome is first for outcome in outcomes):
        ATTEMPTS.labels(_label(first.result)).inc(len(outcomes))
        return
    for outcome in outcomes:
        ATTEMPTS.labels(_label(outcome.result)).inc()


def follow_objectives(pipeline: Pipeline) -> None:
    """Makes the delivery objectives of a pipeline bounds of its deliveries' times."""
    bounds_s = pipeline.spec.slo.delivery_bounds_s()
    DELIVERY_SECONDS.labels(pipeline.name, more_bounds=bounds_s)


def count_delivery(
    claim: DeliveryClaim, submission: TraceContext | None, delivered_ms: int
) -> None:
    """Counts how long a delivered result has taken from its final state.

    Args:
        claim: what was delivered.
        submission: the place of the span of its submission, or None.
        delivered_ms: when, by the queue's clock.
    """
    prediction = claim.prediction
    took_ms = delivered_ms - (prediction.ended_ms or delivered_ms)
    trace_id = submission.trace_id if submission is not None and submission.sampled else ""
    DELIVERY_SECONDS.labels(prediction.pipeline).observe(max(took_ms, 0) / 1000, 1, trace_id)


def count_settled(results: Sequence[DeliveryResult], written: Sequence[bool]) -> None:
    """Counts what was written of some attempts."""
    delivered = fenced = 0
    for result, done in zip(results, written, strict=True):
        if not done:
            fenced += 1
        elif result.dead_reason is not None:
            DEAD.labels(result.dead_reason.value).inc()
        elif result.retry_delay_ms is None:
            delivered += 1
    DELIVERED.inc(delivered)
    FENCED.inc(fenced)


async def count_queue(store: SubmissionStore) -> None:
    """Tells how much waits to be delivered, until cancelled."""
    while True:
        try:
            now_ms = await store.now_ms()
            for partition in range(store.partitions):
                counts = await store.counts(partition)
                due_ms = counts.oldest_due_ms
                age_ms = 0 if due_ms is None else max(0, now_ms - due_ms)
                _PENDING.labels(str(partition)).set(counts.deliveries_pending)
                _DUE_SECONDS.labels(str(partition)).set(age_ms / 1000)
        except QueueUnavailable as error:
            _log.debug("the queue cannot be counted", **{names.ERROR_MESSAGE: error.message})
        await asyncio.sleep(COUNTS_EVERY_S)


def _label(result: str) -> str:
    # A receiver may answer with any number.
    return f"HTTP {result[5]}xx" if result.startswith("HTTP ") else result
