"""A courier inside the test, its queue, callbacks and results to push."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from tailrace.courier.courier import Courier
from tailrace.courier.ending import end
from tailrace.runtime.config import CourierSettings
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.callback_record import CallbackRecord, Secret
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.push.sender import open_sender
from tailrace.submissions.records import (
    CallbackChoice,
    RunResult,
    State,
    StoredPrediction,
    Submitted,
)
from tailrace.v1.prediction_service_pb2 import PredictResponse
from tailrace.webhooks.keys import make_secret
from tests.support.submissions import new_submission, stored, until


def courier_settings(url: str, **changes: Any) -> CourierSettings:
    """Returns settings for a courier that may call loopback; the arguments are what differs."""
    values: dict[str, Any] = {
        "queue_redis_url": url,
        "queue_partitions": 3,
        "callback_allowed_networks": ("127.0.0.0/8",),
        "callback_allow_plaintext": True,
        "courier_retry_s": (0.05, 0.05, 0.05),
        "courier_attempt_timeout_ms": 10_000,
    }
    return CourierSettings(**values | changes)


@contextlib.asynccontextmanager
async def running_courier(settings: CourierSettings, queue: Queue) -> AsyncIterator[Courier]:
    """Runs a courier on this loop, and drains it."""
    sender = open_sender(settings)
    courier = Courier(settings, queue.submissions, queue.callbacks, sender)
    jobs = [asyncio.create_task(job) for job in courier.jobs()]
    try:
        yield courier
        await end(jobs[:1])
        await courier.drain(5.0)
    finally:
        await end(jobs)
        await courier.drain(0.0)
        await sender.close()
    assert all(job.cancelled() for job in jobs), jobs


async def register(queue: Queue, name: str, target: str, **changes: Any) -> CallbackRecord:
    """Registers a callback of the tenant `acme` with a new secret."""
    now_ms = int(time.time() * 1000)
    scheme = changes.get("scheme", 1)
    values: dict[str, Any] = {
        "tenant": "acme",
        "name": name,
        "target": target,
        "scheme": scheme,
        "secrets": (Secret(text=make_secret(scheme)[0]),),
        "attempt_timeout_ms": 0,
        "max_in_flight": 0,
        "max_batch": 0,
        "ordered": False,
        "disabled_reason": "",
        "created_ms": now_ms,
        "updated_ms": now_ms,
        "revision": 0,
    }
    record = CallbackRecord(**values | changes)
    await queue.callbacks.create(record)
    found = await queue.callbacks.find("acme", name)
    assert found is not None
    return found


async def finished(
    queue: Queue,
    callback: CallbackRecord | CallbackChoice,
    count: int = 1,
    *,
    partition: int = 0,
    ordering_key: str = "",
    outcome: bytes | None = None,
) -> list[str]:
    """Submits and finishes predictions for a callback; returns their ids, oldest first."""
    if isinstance(callback, CallbackRecord):
        callback = CallbackChoice(key=callback.key, ordered=callback.ordered)
    if outcome is None:
        response = PredictResponse(request_id="r-1", pipeline="flights")
        response.prediction["score"].double_value = 0.25
        outcome = response.SerializeToString(deterministic=True)
    submitted = await queue.submissions.submit(
        partition,
        [
            new_submission(partition, callback=callback, ordering_key=ordering_key)
            for _ in range(count)
        ],
    )
    ids = [each.prediction_id for each in submitted if isinstance(each, Submitted)]
    assert len(ids) == count
    left = set(ids)
    while left:
        claims = await queue.submissions.claim(partition, 500)
        results = [
            RunResult(
                prediction_id=claim.prediction_id,
                fence=claim.fence,
                state=State.SUCCEEDED,
                outcome=outcome,
            )
            for claim in claims
        ]
        assert all(await queue.submissions.finish(partition, results))
        left -= {claim.prediction_id for claim in claims}
    return ids


async def ended(
    queue: Queue, prediction_id: str, state: int, timeout_s: float = 20.0
) -> StoredPrediction:
    """Returns a prediction once its delivery is in some state; the queue may be away meanwhile."""

    async def is_so() -> bool:
        try:
            return (await stored(queue, prediction_id)).delivery_state == state
        except QueueUnavailable:
            return False

    await until(is_so, timeout_s)
    return await stored(queue, prediction_id)
