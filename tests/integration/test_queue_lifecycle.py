"""A submission's whole life, on one server and on a cluster."""

from __future__ import annotations

from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import DeliveryState, State
from tests.support.submissions import (
    CALLBACK,
    attempt_of,
    claim_due,
    claim_one,
    finish_one,
    result_of,
    stored,
    submit,
)


async def test_a_submission_is_claimed_finished_and_delivered(queue: Queue) -> None:
    submitted = await submit(queue, callback=CALLBACK, request=b"the request")
    assert (submitted.state, submitted.already_submitted) == (State.QUEUED, False)
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.state, kept.created_ms) == (State.QUEUED, submitted.created_ms)

    claim = await claim_one(queue)
    assert claim.prediction_id == submitted.prediction_id
    assert (claim.request, claim.run_attempts, claim.crashes) == (b"the request", 1, 0)
    assert (await stored(queue, submitted.prediction_id)).state is State.RUNNING
    assert await queue.submissions.claim(0, 10) == []

    assert await queue.submissions.finish(0, [result_of(claim)]) == [True]
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.state, kept.outcome) == (State.SUCCEEDED, b"an outcome")
    assert kept.delivery_state is DeliveryState.PENDING

    assert await queue.submissions.due_callbacks(0) == [CALLBACK.key]
    (delivery,) = await claim_due(queue)
    assert delivery.prediction.outcome == b"an outcome"
    assert delivery.attempt == 1
    assert await claim_due(queue) == []
    assert await queue.submissions.settle_deliveries(0, [attempt_of(delivery)]) == [True]
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.delivery_state, kept.delivery_attempts) == (DeliveryState.DELIVERED, 1)
    assert kept.attempts[0].result == "HTTP 200"
    assert await queue.submissions.due_callbacks(0) == []


async def test_a_submission_without_a_callback_has_nothing_to_deliver(queue: Queue) -> None:
    submitted = await submit(queue)
    await finish_one(queue)
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.state, kept.delivery_state) == (State.SUCCEEDED, DeliveryState.NONE)
    assert await queue.submissions.due_callbacks(0) == []


async def test_every_priority_is_claimed_before_the_next(queue: Queue) -> None:
    by_priority = {p: await submit(queue, priority=p) for p in (3, 2, 4, 1)}
    claims = await queue.submissions.claim(0, 10)
    expected = [by_priority[p].prediction_id for p in (1, 2, 3, 4)]
    assert [claim.prediction_id for claim in claims] == expected


async def test_ended_submissions_are_published_once(queue: Queue) -> None:
    submitted = await submit(queue)
    await finish_one(queue)
    assert await queue.submissions.publish(0, 10) == 1
    assert await queue.submissions.publish(0, 10) == 0
    (change,) = await queue.submissions.changes(0, "0", 10, None)
    assert change.prediction_id == submitted.prediction_id
    assert await queue.submissions.last_position(0) == change.position
