"""One message to a callback: what it carries, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from tailrace.courier import metrics
from tailrace.courier.delivery_line import tell_delivered
from tailrace.courier.push_spans import PushSpan
from tailrace.courier.retry_schedule import RetrySchedule
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import Tracing
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.outcome import BAD_TARGET, PushOutcome, failed
from tailrace.submissions.push.push_item import claim_item
from tailrace.submissions.push.sender import Sender
from tailrace.submissions.queue_clock import QueueClock
from tailrace.submissions.records import (
    AttemptRecord,
    DeadReason,
    DeliveryClaim,
    DeliveryResult,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptParts:
    """What attempts are made with."""

    sender: Sender
    clock: QueueClock
    schedule: RetrySchedule
    tracing: Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """What came of a message.

    Attributes:
        taken: whether any of its results was delivered.
        gone: whether the receiver wants no more.
        retry_after_s: how long it wants to be left alone, or None.
        results: to be written, in the order of the claims.
    """

    taken: bool
    gone: bool
    retry_after_s: float | None
    results: list[DeliveryResult]


async def attempt(
    parts: AttemptParts,
    key: str,
    destination: Destination | None,
    claims: Sequence[DeliveryClaim],
    timeout_s: float,
) -> AttemptEnd:
    """Sends one message. Never raises but for cancellation.

    Args:
        parts: what it is made with.
        key: of the callback.
        destination: None for one that cannot be used, which fails.
        claims: what the message carries.
        timeout_s: for the attempt, all in all.
    """
    started_ms, started = parts.clock.now_ms(), time.monotonic()
    span = PushSpan(parts.tracing, key, destination, claims)
    if destination is None:
        outcomes = [failed(BAD_TARGET)] * len(claims)
    else:
        items = [claim_item(claim) for claim in claims]
        span.mark(items)
        try:
            outcomes = await parts.sender.push(destination, items, timeout_s, span.context)
        except asyncio.CancelledError:
            span.cancelled()
            raise
    took_s = time.monotonic() - started
    metrics.MESSAGE_SECONDS.observe(took_s)
    metrics.MESSAGE_ROWS.observe(len(claims))
    metrics.count_attempts(outcomes)
    end = _end(parts, claims, outcomes, span.submissions, started_ms, int(took_s * 1000))
    dead = sum(result.dead_reason is not None for result in end.results)
    span.over(outcomes, dead)
    tell_delivered(key, claims, outcomes, span.submissions, int(took_s * NS_PER_S))
    if not all(outcome.delivered for outcome in outcomes):
        _tell_failure(key, claims, outcomes, dead, span.context)
    return end


def _end(
    parts: AttemptParts,
    claims: Sequence[DeliveryClaim],
    outcomes: Sequence[PushOutcome],
    submissions: Sequence[TraceContext | None],
    started_ms: int,
    duration_ms: int,
) -> AttemptEnd:
    ended_ms = started_ms + duration_ms
    results, records = [], _Records(started_ms, duration_ms)
    taken, gone, retry_after_s = False, False, None
    for claim, outcome, submission in zip(claims, outcomes, submissions, strict=True):
        delay_ms: int | None = None
        dead_reason: DeadReason | None = None
        if outcome.delivered:
            taken = True
            metrics.count_delivery(claim, submission, ended_ms)
        elif outcome.gone:
            gone, dead_reason = True, DeadReason.CALLBACK_DISABLED
        else:
            delay_ms = parts.schedule.delay_ms(claim.attempt, outcome.retry_after_s)
            if delay_ms is None:
                dead_reason = DeadReason.ATTEMPTS_EXHAUSTED
            if outcome.retry_after_s is not None:
                retry_after_s = max(retry_after_s or 0.0, outcome.retry_after_s)
        results.append(
            DeliveryResult(
                prediction_id=claim.prediction_id,
                fence=claim.fence,
                record=records.of(claim.attempt, outcome),
                retry_delay_ms=delay_ms,
                dead_reason=dead_reason,
            )
        )
    return AttemptEnd(taken=taken, gone=gone, retry_after_s=retry_after_s, results=results)


class _Records:
    """Records of attempts; results that shared a message and its fate share one."""

    def __init__(self, started_ms: int, duration_ms: int) -> None:
        self._started_ms = started_ms
        self._duration_ms = duration_ms
        self._made: dict[tuple[int, str, bool], AttemptRecord] = {}

    def of(self, number: int, outcome: PushOutcome) -> AttemptRecord:
        key = (number, outcome.result, outcome.delivered)
        record = self._made.get(key)
        if record is None:
            record = self._made[key] = AttemptRecord(
                attempt=number,
                started_ms=self._started_ms,
                duration_ms=self._duration_ms,
                delivered=outcome.delivered,
                result=outcome.result,
            )
        return record


def _tell_failure(
    key: str,
    claims: Sequence[DeliveryClaim],
    outcomes: Sequence[PushOutcome],
    dead: int,
    trace: TraceContext,
) -> None:
    place = next(place for place, outcome in enumerate(outcomes) if not outcome.delivered)
    _log.warning(
        "delivery failed",
        **{
            names.EVENT_OUTCOME: "failure",
            names.TRACE_ID: trace.trace_id,
            names.SPAN_ID: trace.span_id,
            names.CALLBACK: key,
            names.PREDICTION_ID: claims[place].prediction_id,
            names.REASON: outcomes[place].result,
            names.ROWS: len(claims),
            names.FAILED_ROWS: sum(not outcome.delivered for outcome in outcomes),
            names.DEAD_ROWS: dead,
        },
    )
