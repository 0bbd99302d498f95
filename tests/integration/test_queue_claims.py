"""Claims, their leases and fences."""

from __future__ import annotations

import asyncio
import random

import pytest
from google.rpc.status_pb2 import Status

from tailrace.runtime.errors import FailedPrecondition, NotFound
from tailrace.submissions.ids import new_prediction_id
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import DeliveryState, RunPostponed, State
from tests.support.queue_fixtures import OpenTestQueue
from tests.support.submissions import (
    CALLBACK,
    claim_due,
    claim_lost,
    claim_one,
    new_submission,
    result_of,
    stored,
    submit,
    submit_past,
    until,
)


async def test_two_dispatchers_share_what_waits(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue() as one, open_test_queue() as other:
        await one.submissions.submit(0, [new_submission() for _ in range(200)])
        batches = await asyncio.gather(
            *(queue.submissions.claim(0, 10) for _ in range(10) for queue in (one, other))
        )
        taken = [claim.prediction_id for batch in batches for claim in batch]
        assert len(taken) == len(set(taken)) == 200


async def test_a_lost_lease_is_claimed_anew_and_the_old_result_is_refused(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(dispatcher_lease_ms=1) as queue:
        await submit(queue)
        first = await claim_one(queue)
        second = await claim_lost(queue)
        assert (second.prediction_id, second.fence) == (first.prediction_id, first.fence + 1)
        assert (second.run_attempts, second.crashes) == (2, 1)
        assert await queue.submissions.finish(0, [result_of(first, b"stale")]) == [False]
        back = RunPostponed(prediction_id=first.prediction_id, fence=first.fence, delay_ms=0)
        assert await queue.submissions.postpone(0, [back]) == [False]
        assert (await stored(queue, first.prediction_id)).state is State.RUNNING
        assert await queue.submissions.renew(0, [first, second]) == [False, True]
        assert await queue.submissions.finish(0, [result_of(second, b"fresh")]) == [True]
        assert await queue.submissions.finish(0, [result_of(first, b"stale")]) == [False]
        assert (await stored(queue, first.prediction_id)).outcome == b"fresh"


async def test_lost_leases_come_before_what_waits(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(dispatcher_lease_ms=1) as queue:
        lost = await submit(queue, priority=3)
        await claim_one(queue)
        # The same wait as for the claim: both are by the queue's clock.
        began = await queue.submissions.now_ms()
        await until(lambda: _later_than(queue, began + 2))
        await submit(queue, priority=1)
        assert (await claim_one(queue)).prediction_id == lost.prediction_id


async def _later_than(queue: Queue, time_ms: int) -> bool:
    return await queue.submissions.now_ms() > time_ms


async def test_a_lease_that_is_renewed_is_kept(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(dispatcher_lease_ms=400) as queue:
        await submit(queue)
        claim = await claim_one(queue)
        began = await queue.submissions.now_ms()

        async def renewed_for_two_leases() -> bool:
            assert await queue.submissions.renew(0, [claim]) == [True]
            assert await queue.submissions.claim(0, 1) == []
            return await _later_than(queue, began + 800)

        await until(renewed_for_two_leases)


async def test_what_loses_its_lease_too_often_is_poison(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(dispatcher_lease_ms=1, dispatcher_max_attempts=3) as queue:
        submitted = await submit(queue, callback=CALLBACK)
        await claim_one(queue)
        assert [(await claim_lost(queue)).crashes for _ in range(2)] == [1, 2]

        async def failed() -> bool:
            assert await queue.submissions.claim(0, 1) == []
            return (await stored(queue, submitted.prediction_id)).state is State.FAILED

        await until(failed)
        kept = await stored(queue, submitted.prediction_id)
        assert (kept.delivery_state, kept.dead_reason) == (DeliveryState.DEAD, "POISON")
        assert Status.FromString(kept.outcome).code == 13
        assert await claim_due(queue) == []
        counts = await queue.submissions.counts(0)
        assert (counts.dead_letters, counts.deliveries_pending) == (1, 0)
        assert await queue.submissions.redrive([submitted.prediction_id] * 2) == [True, False]
        again = await claim_one(queue)
        assert (again.crashes, again.request) == (0, b"a request")
        assert await queue.submissions.finish(0, [result_of(again)]) == [True]
        assert len(await claim_due(queue)) == 1
        assert (await queue.submissions.counts(0)).dead_letters == 0


async def test_what_is_postponed_at_once_is_claimed_again(queue: Queue) -> None:
    await submit(queue)
    claim = await claim_one(queue)
    back = RunPostponed(prediction_id=claim.prediction_id, fence=claim.fence, delay_ms=0)
    assert await queue.submissions.postpone(0, [back, back]) == [True, False]
    again = await claim_one(queue)
    assert (again.fence, again.crashes) == (claim.fence + 1, 0)
    assert await queue.submissions.finish(0, [result_of(claim)]) == [False]


async def test_what_is_postponed_waits_until_it_is_swept(queue: Queue) -> None:
    submitted = await submit(queue)
    claim = await claim_one(queue)
    back = RunPostponed(
        prediction_id=claim.prediction_id, fence=claim.fence, delay_ms=30, counts=True
    )
    assert await queue.submissions.postpone(0, [back]) == [True]
    assert (await stored(queue, submitted.prediction_id)).state is State.QUEUED
    assert await queue.submissions.claim(0, 1) == []

    async def swept() -> bool:
        return await queue.submissions.sweep(0) == 1

    await until(swept)
    assert (await claim_one(queue)).crashes == 1


async def test_crashes_that_are_reported_make_poison_too(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(dispatcher_max_attempts=2) as queue:
        submitted = await submit(queue)
        for _ in range(2):
            claim = await claim_one(queue)
            back = RunPostponed(
                prediction_id=claim.prediction_id, fence=claim.fence, delay_ms=0, counts=True
            )
            assert await queue.submissions.postpone(0, [back]) == [True]
        assert await queue.submissions.claim(0, 1) == []
        kept = await stored(queue, submitted.prediction_id)
        assert (kept.state, kept.dead_reason) == (State.FAILED, "POISON")
        assert kept.delivery_state is DeliveryState.NONE


async def test_what_is_past_its_time_expires_instead_of_running(queue: Queue) -> None:
    submitted = await submit_past(queue, callback=CALLBACK)
    assert await queue.submissions.claim(0, 1) == []
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.state, kept.delivery_state) == (State.EXPIRED, DeliveryState.PENDING)
    assert Status.FromString(kept.outcome).code == 4
    assert len(await claim_due(queue)) == 1


async def test_what_waits_too_long_expires_by_a_sweep(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(submission_ttl_s=0) as queue:
        submitted = await submit(queue)
        assert await queue.submissions.sweep(0) == 1
        assert (await stored(queue, submitted.prediction_id)).state is State.EXPIRED
        assert await queue.submissions.claim(0, 1) == []


async def test_what_waits_can_be_cancelled_and_is_told_to_its_callback(queue: Queue) -> None:
    submitted = await submit(queue, callback=CALLBACK)
    cancelled = await queue.submissions.cancel(submitted.prediction_id, "acme")
    assert cancelled.state is State.CANCELLED
    assert await queue.submissions.cancel(submitted.prediction_id, "") == cancelled
    assert await queue.submissions.claim(0, 1) == []
    (delivery,) = await claim_due(queue)
    assert delivery.prediction.state is State.CANCELLED
    assert Status.FromString(delivery.prediction.outcome).code == 1


async def test_what_runs_can_be_cancelled_and_its_result_is_refused(queue: Queue) -> None:
    submitted = await submit(queue)
    claim = await claim_one(queue)
    await queue.submissions.cancel(submitted.prediction_id, "")
    assert await queue.submissions.renew(0, [claim]) == [False]
    assert await queue.submissions.finish(0, [result_of(claim)]) == [False]
    assert (await stored(queue, submitted.prediction_id)).state is State.CANCELLED


async def test_what_is_postponed_can_be_cancelled(queue: Queue) -> None:
    submitted = await submit(queue)
    claim = await claim_one(queue)
    back = RunPostponed(prediction_id=claim.prediction_id, fence=claim.fence, delay_ms=60_000)
    await queue.submissions.postpone(0, [back])
    await queue.submissions.cancel(submitted.prediction_id, "")
    assert (await queue.submissions.counts(0)).states[State.CANCELLED] == 1
    assert await queue.submissions.sweep(0) == 0


async def test_what_has_its_result_cannot_be_cancelled(queue: Queue) -> None:
    submitted = await submit(queue)
    await queue.submissions.finish(0, [result_of(await claim_one(queue))])
    with pytest.raises(FailedPrecondition):
        await queue.submissions.cancel(submitted.prediction_id, "")


async def test_nobody_cancels_what_is_not_there_or_not_theirs(queue: Queue) -> None:
    submitted = await submit(queue)
    for prediction_id in (submitted.prediction_id, new_prediction_id(0), "nonsense"):
        with pytest.raises(NotFound):
            await queue.submissions.cancel(prediction_id, "bolt")
    assert (await stored(queue, submitted.prediction_id)).state is State.QUEUED


async def test_a_result_or_a_cancellation_wins_and_never_both(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue() as one, open_test_queue() as other:
        for turn in range(40):
            submitted = await submit(one)
            claim = await claim_one(one)
            calls = [
                one.submissions.finish(0, [result_of(claim)]),
                other.submissions.cancel(submitted.prediction_id, ""),
            ]
            random.Random(turn).shuffle(calls)
            await asyncio.gather(*calls, return_exceptions=True)
            kept = await stored(one, submitted.prediction_id)
            changes = await one.submissions.changes(0, "0", 1000, None)
            mine = [change for change in changes if change.prediction_id == kept.prediction_id]
            assert [change.state for change in mine] == [kept.state]
            assert kept.state in (State.SUCCEEDED, State.CANCELLED)
            assert (kept.outcome == b"an outcome") == (kept.state is State.SUCCEEDED)


async def test_no_more_are_claimed_than_asked_for_also_of_lost_leases(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(dispatcher_lease_ms=1) as queue:
        await queue.submissions.submit(0, [new_submission() for _ in range(30)])
        assert len(await queue.submissions.claim(0, 100)) == 30
        began = await queue.submissions.now_ms()
        await until(lambda: _later_than(queue, began + 2))
        assert len(await queue.submissions.claim(0, 7)) == 7


async def test_what_is_less_urgent_has_a_part_of_every_large_claim(queue: Queue) -> None:
    urgent = [new_submission(priority=1) for _ in range(40)]
    lower = [new_submission(priority=priority) for priority in (2, 3, 4) for _ in range(10)]
    await queue.submissions.submit(0, urgent + lower)
    taken = [claim.priority for claim in await queue.submissions.claim(0, 32)]
    assert [taken.count(priority) for priority in (1, 2, 3, 4)] == [26, 2, 2, 2]
    few = [claim.priority for claim in await queue.submissions.claim(0, 15)]
    assert [few.count(priority) for priority in (1, 2, 3, 4)] == [14, 1, 0, 0]


async def test_large_requests_are_claimed_in_parts_also_after_lost_leases(
    open_test_queue: OpenTestQueue,
) -> None:
    request = bytes(250_000)
    async with open_test_queue(dispatcher_lease_ms=100) as queue:
        new = [new_submission(priority=1, request=request) for _ in range(100)]
        low = new_submission(priority=4)
        await queue.submissions.submit(0, [*new, low])
        first = await queue.submissions.claim(0, 512)
        assert len(first) * len(request) < 20_000_000
        assert low.prediction_id in [claim.prediction_id for claim in first]
        ids = {claim.prediction_id for claim in first}
        crashed = 0
        # In any claim some may be there that have lost their leases.
        while len(ids) < 101 or not crashed:
            claims = await queue.submissions.claim(0, 512)
            assert len(claims) * len(request) < 20_000_000
            ids |= {claim.prediction_id for claim in claims}
            crashed = max([crashed, *(claim.crashes for claim in claims)])
