"""What a courier counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Gauge, Histogram

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.push.outcome import PushOutcome
from tailrace.submissions.records import DeliveryResult
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
FENCED = Counter(names.COURIER_FENCED_TOTAL, "Attempts not written, as another courier has them.")
DELIVERY_SECONDS = Histogram(
    names.COURIER_DELIVERY_SECONDS,
    "Time from a final state to its delivery.",
    buckets=names.DELIVERY_BUCKETS_S,
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
