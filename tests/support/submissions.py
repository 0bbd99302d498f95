"""Submissions for tests of the queue."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tailrace.runtime.errors import InvalidField
from tailrace.submissions.callback_record import CallbackRecord, Secret
from tailrace.submissions.ids import new_prediction_id
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import (
    AttemptRecord,
    CallbackChoice,
    Claim,
    DeadReason,
    DeliveryClaim,
    DeliveryResult,
    NewSubmission,
    RunResult,
    State,
    StoredPrediction,
    Submitted,
)

CALLBACK = CallbackChoice(key="acme/orders")
ORDERED_CALLBACK = CallbackChoice(key="acme/orders", ordered=True)


def new_submission(partition: int = 0, **changes: Any) -> NewSubmission:
    """Returns a submission without a callback; the arguments are what differs."""
    request = changes.pop("request", b"a request")
    values: dict[str, Any] = {
        "prediction_id": new_prediction_id(partition),
        "tenant": "acme",
        "idempotency_key": "",
        "body_digest": hashlib.sha256(request).digest(),
        "pipeline": "flights",
        "request_id": "r-1",
        "ordering_key": "",
        "priority": 2,
        "request": request,
        "callback": None,
        "not_after_ms": None,
    }
    return NewSubmission(**values | changes)


def callback_record(name: str = "orders", tenant: str = "acme") -> CallbackRecord:
    """Returns a callback with two secrets."""
    return CallbackRecord(
        tenant=tenant,
        name=name,
        target="https://example.org/é",
        scheme=1,
        secrets=(Secret(text="whsec_new"), Secret(text="whsec_old", retired_ms=5)),
        attempt_timeout_ms=1000,
        max_in_flight=2,
        max_batch=3,
        ordered=True,
        disabled_reason="",
        created_ms=7,
        updated_ms=8,
        revision=0,
    )


async def submit(queue: Queue, partition: int = 0, **changes: Any) -> Submitted:
    """Submits one, which has to be taken."""
    (submitted,) = await queue.submissions.submit(partition, [new_submission(partition, **changes)])
    assert isinstance(submitted, Submitted)
    return submitted


async def submit_past(queue: Queue, partition: int = 0, **changes: Any) -> Submitted:
    """Submits one, and returns once its time has passed."""
    lead_ms = 10
    while True:
        not_after_ms = await queue.submissions.now_ms() + lead_ms
        new = new_submission(partition, not_after_ms=not_after_ms, **changes)
        (submitted,) = await queue.submissions.submit(partition, [new])
        if isinstance(submitted, Submitted):
            break
        # It came too late, as this machine is busy.
        assert isinstance(submitted, InvalidField) and submitted.field == "not_after"
        lead_ms *= 2
    await asyncio.sleep((not_after_ms - await queue.submissions.now_ms() + 2) / 1000)
    return submitted


async def claim_one(queue: Queue, partition: int = 0) -> Claim:
    """Claims one, which has to be there."""
    (claim,) = await queue.submissions.claim(partition, 1)
    return claim


def result_of(claim: Claim, outcome: bytes = b"an outcome", **changes: Any) -> RunResult:
    """Returns a claim's result."""
    values: dict[str, Any] = {
        "prediction_id": claim.prediction_id,
        "fence": claim.fence,
        "state": State.SUCCEEDED,
        "outcome": outcome,
    }
    return RunResult(**values | changes)


async def finish_one(queue: Queue, partition: int = 0, **changes: Any) -> Claim:
    """Claims one and finishes it, which has to be written."""
    claim = await claim_one(queue, partition)
    assert await queue.submissions.finish(partition, [result_of(claim, **changes)]) == [True]
    return claim


async def stored(queue: Queue, prediction_id: str) -> StoredPrediction:
    """Returns a submission with all that is kept of it."""
    (found,) = await queue.submissions.get([prediction_id], outcomes=True, attempts=True)
    assert found is not None
    return found


async def claim_due(
    queue: Queue, partition: int = 0, callback: str = CALLBACK.key, most: int = 10
) -> list[DeliveryClaim]:
    """Claims what is due for a callback."""
    return await queue.submissions.claim_deliveries(partition, callback, most, 60_000)


def attempt_of(
    claim: DeliveryClaim,
    *,
    retry_delay_ms: int | None = None,
    dead_reason: DeadReason | None = None,
) -> DeliveryResult:
    """Returns what came of an attempt: delivered, unless there is a wait or a reason."""
    delivered = retry_delay_ms is None and dead_reason is None
    record = AttemptRecord(
        attempt=claim.attempt,
        started_ms=1_700_000_000_000 + claim.attempt,
        duration_ms=12,
        delivered=delivered,
        result="HTTP 200" if delivered else "HTTP 503",
    )
    return DeliveryResult(
        prediction_id=claim.prediction_id,
        fence=claim.fence,
        record=record,
        retry_delay_ms=retry_delay_ms,
        dead_reason=dead_reason,
    )


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Returns once the condition holds, and fails the test if it does not in time."""
    give_up_at = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < give_up_at, f"the condition did not hold within {timeout_s:g} s"
        await asyncio.sleep(0.005)


async def claim_lost(queue: Queue, partition: int = 0) -> Claim:
    """Claims one whose lease ends meanwhile."""
    claims: list[Claim] = []

    async def found() -> bool:
        claims.extend(await queue.submissions.claim(partition, 1))
        return bool(claims)

    await until(found)
    return claims[0]
