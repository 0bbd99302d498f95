"""Deliveries: retries, dead letters, order."""

from __future__ import annotations

from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import CallbackChoice, DeadReason, DeliveryState, State
from tests.support.queue_fixtures import OpenTestQueue
from tests.support.submissions import (
    CALLBACK,
    ORDERED_CALLBACK,
    attempt_of,
    claim_due,
    claim_one,
    finish_one,
    new_submission,
    result_of,
    stored,
    submit,
    until,
)


async def test_a_failed_attempt_is_due_again_after_its_wait(queue: Queue) -> None:
    submitted = await submit(queue, callback=CALLBACK)
    await finish_one(queue)
    (first,) = await claim_due(queue)
    later = attempt_of(first, retry_delay_ms=60_000)
    assert await queue.submissions.settle_deliveries(0, [later]) == [True]
    assert await queue.submissions.due_callbacks(0) == []
    kept = await stored(queue, submitted.prediction_id)
    assert kept.delivery_state is DeliveryState.PENDING
    assert kept.next_attempt_ms is not None
    assert kept.next_attempt_ms - (await queue.submissions.now_ms()) > 30_000
    # A second word under the same claim is not heard.
    assert await queue.submissions.settle_deliveries(0, [attempt_of(first)]) == [False]


async def test_a_wait_as_long_as_the_lease_ends_the_claim_all_the_same(queue: Queue) -> None:
    # Claim and attempt may fall into one millisecond, which is what fences are made of.
    for _ in range(10):
        await submit(queue, callback=CALLBACK)
        await finish_one(queue)
        (claim,) = await claim_due(queue)
        again = attempt_of(claim, retry_delay_ms=60_000)
        assert await queue.submissions.settle_deliveries(0, [again]) == [True]
        assert await queue.submissions.settle_deliveries(0, [attempt_of(claim)]) == [False]


async def test_a_courier_that_died_loses_its_lease(queue: Queue) -> None:
    await submit(queue, callback=CALLBACK)
    await finish_one(queue)
    (first,) = await queue.submissions.claim_deliveries(0, CALLBACK.key, 1, 1)

    async def due() -> bool:
        return await queue.submissions.due_callbacks(0) == [CALLBACK.key]

    await until(due)
    (second,) = await claim_due(queue)
    assert (second.fence != first.fence, second.attempt) == (True, 1)
    assert await queue.submissions.settle_deliveries(0, [attempt_of(first)]) == [False]
    assert await queue.submissions.settle_deliveries(0, [attempt_of(second)]) == [True]


async def test_a_claim_that_is_given_back_is_due_at_once_and_no_attempt(queue: Queue) -> None:
    ids = [(await submit(queue, callback=CALLBACK)).prediction_id for _ in range(3)]
    for _ in ids:
        await finish_one(queue)
    claims = await claim_due(queue)
    assert await queue.submissions.settle_deliveries(0, [attempt_of(claims[0])]) == [True]

    assert await queue.submissions.release_deliveries(0, claims) == [False, True, True]

    assert await queue.submissions.release_deliveries(0, claims) == [False] * 3
    again = await claim_due(queue)
    assert {claim.prediction_id for claim in again} == {claim.prediction_id for claim in claims[1:]}
    assert {claim.attempt for claim in again} == {1}


async def test_the_latest_twenty_attempts_are_kept(queue: Queue) -> None:
    submitted = await submit(queue, callback=CALLBACK)
    await finish_one(queue)
    for number in range(1, 26):
        (claim,) = await claim_due(queue)
        assert claim.attempt == number
        retry = attempt_of(claim, retry_delay_ms=0)
        assert await queue.submissions.settle_deliveries(0, [retry]) == [True]
    kept = await stored(queue, submitted.prediction_id)
    assert [each.attempt for each in kept.attempts] == list(range(6, 26))
    assert kept.delivery_attempts == 25


async def test_a_dead_letter_is_listed_and_redriven(queue: Queue) -> None:
    submitted = await submit(queue, callback=CALLBACK)
    await finish_one(queue)
    (claim,) = await claim_due(queue)
    given_up = attempt_of(claim, dead_reason=DeadReason.ATTEMPTS_EXHAUSTED)
    assert await queue.submissions.settle_deliveries(0, [given_up]) == [True]
    assert await _dead(queue) == [submitted.prediction_id]
    assert await _dead(queue, callback="orders", reason="ATTEMPTS_EXHAUSTED") != []
    assert await _dead(queue, callback=CALLBACK.key) != []
    for other in ({"tenant": "bolt"}, {"callback": "others"}, {"callback": "rders"}):
        assert await _dead(queue, **other) == []
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.state, kept.delivery_state) == (State.SUCCEEDED, DeliveryState.DEAD)

    assert await queue.submissions.redrive([submitted.prediction_id, "x"]) == [True, False]
    assert await _dead(queue) == []
    (claim,) = await claim_due(queue)
    assert claim.attempt == 1
    assert await queue.submissions.settle_deliveries(0, [attempt_of(claim)]) == [True]
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.delivery_state, kept.delivery_attempts) == (DeliveryState.DELIVERED, 2)
    assert kept.dead_reason == ""
    assert await queue.submissions.redrive([submitted.prediction_id]) == [False]


async def test_what_waits_for_its_next_attempt_can_be_due_at_once(queue: Queue) -> None:
    ids = [
        (await submit(queue, callback=ORDERED_CALLBACK, ordering_key="a")).prediction_id
        for _ in range(2)
    ]
    queued = (await submit(queue, callback=CALLBACK, priority=3)).prediction_id
    claims = {claim.prediction_id: claim for claim in await queue.submissions.claim(0, 10)}
    await queue.submissions.finish(0, [result_of(claims[each]) for each in ids])
    (first,) = await claim_due(queue)
    later = attempt_of(first, retry_delay_ms=60_000)
    assert await queue.submissions.settle_deliveries(0, [later]) == [True]

    # Only if it is asked for; neither what has no result nor what has to wait for its turn.
    assert await queue.submissions.redrive(ids) == [False, False]
    assert await claim_due(queue) == []
    wanted = [*ids, queued]
    assert await queue.submissions.redrive(wanted, pending=True) == [True, False, False]

    (again,) = await claim_due(queue)
    assert (again.prediction_id, again.attempt) == (ids[0], 2)
    # A claim that is taken away writes nothing.
    assert await queue.submissions.redrive([ids[0]], pending=True) == [True]
    (anew,) = await claim_due(queue)
    assert (anew.prediction_id, anew.attempt) == (ids[0], 2)
    assert await queue.submissions.settle_deliveries(0, [attempt_of(anew)]) == [True]
    (second,) = await claim_due(queue)
    assert second.prediction_id == ids[1]


async def _dead(queue: Queue, **wanted: str) -> list[str]:
    filters = {"tenant": "", "callback": "", "pipeline": "", "reason": ""} | wanted
    found, _ = await queue.submissions.list_dead(page_size=100, page_token="", **filters)
    return [each.prediction_id for each in found]


async def test_ordered_results_are_due_in_order_of_submission(queue: Queue) -> None:
    ids = [
        (await submit(queue, callback=ORDERED_CALLBACK, ordering_key="a")).prediction_id
        for _ in range(3)
    ]
    claims = await queue.submissions.claim(0, 10)
    await queue.submissions.finish(0, [result_of(claim) for claim in reversed(claims[1:])])
    assert await claim_due(queue) == []
    await queue.submissions.finish(0, [result_of(claims[0])])
    for expected in ids:
        (claim,) = await claim_due(queue)
        assert claim.prediction_id == expected
        await queue.submissions.settle_deliveries(0, [attempt_of(claim)])
    assert (await queue.submissions.counts(0)).deliveries_pending == 0


async def test_a_retry_holds_up_its_own_lane_only(queue: Queue) -> None:
    keys = {}
    for key in ("a", "a", "b", "a"):
        submitted = await submit(queue, callback=ORDERED_CALLBACK, ordering_key=key)
        keys[submitted.prediction_id] = key
    for _ in range(4):
        await finish_one(queue)
    first = {keys[claim.prediction_id]: claim for claim in await claim_due(queue)}
    assert set(first) == {"a", "b"}
    results = [attempt_of(first["a"], retry_delay_ms=60_000), attempt_of(first["b"])]
    assert await queue.submissions.settle_deliveries(0, results) == [True, True]
    assert await claim_due(queue) == []


async def test_the_lane_goes_on_after_what_is_dead_cancelled_or_poison(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(dispatcher_max_attempts=1) as queue:
        ids = [
            (await submit(queue, callback=ORDERED_CALLBACK, ordering_key="a")).prediction_id
            for _ in range(4)
        ]
        claims = await queue.submissions.claim(0, 4)
        poison = result_of(
            claims[0], state=State.FAILED, outcome=b"no", dead_reason=DeadReason.POISON
        )
        await queue.submissions.cancel(ids[1], "")
        assert await claim_due(queue) == []
        await queue.submissions.finish(0, [result_of(claims[3]), poison, result_of(claims[2])])
        (cancelled,) = await claim_due(queue)
        assert cancelled.prediction_id == ids[1]
        dead = attempt_of(cancelled, dead_reason=DeadReason.ATTEMPTS_EXHAUSTED)
        await queue.submissions.settle_deliveries(0, [dead])
        (third,) = await claim_due(queue)
        assert third.prediction_id == ids[2]
        # What is redriven has lost its place.
        assert await queue.submissions.redrive([ids[1]]) == [True]
        (again,) = await claim_due(queue)
        assert again.prediction_id == ids[1]
        await queue.submissions.settle_deliveries(0, [attempt_of(third), attempt_of(again)])
        (last,) = await claim_due(queue)
        assert last.prediction_id == ids[3]


async def test_killing_a_callback_takes_all_that_waits_for_it(queue: Queue) -> None:
    other = CallbackChoice(key="acme/others")
    for key in ("", "", "a", "a", "a"):
        await submit(queue, callback=ORDERED_CALLBACK, ordering_key=key)
    await submit(queue, callback=other)
    claims = await queue.submissions.claim(0, 10)
    await queue.submissions.finish(0, [result_of(claim) for claim in claims])
    (leased,) = await claim_due(queue, most=1)
    reason = DeadReason.CALLBACK_DELETED
    assert await queue.submissions.kill_deliveries(0, CALLBACK.key, reason, 2) == 2
    assert await queue.submissions.kill_deliveries(0, CALLBACK.key, reason, 10) == 3
    assert await queue.submissions.settle_deliveries(0, [attempt_of(leased)]) == [False]
    counts = await queue.submissions.counts(0)
    assert (counts.dead_letters, counts.deliveries_pending) == (5, 1)
    assert await queue.submissions.due_callbacks(0) == [other.key]
    assert len(await _dead(queue, reason="CALLBACK_DELETED")) == 5


async def test_an_inline_callback_comes_with_its_delivery(queue: Queue) -> None:
    inline = CallbackChoice(key="~digest", inline=b"\x00inline")
    await submit(queue, callback=inline)
    await finish_one(queue)
    (claim,) = await claim_due(queue, callback="~digest")
    assert claim.inline == b"\x00inline"


async def test_a_redriven_poison_submission_waits_again(queue: Queue) -> None:
    submitted = await submit(queue)
    claim = await claim_one(queue)
    poison = result_of(claim, state=State.FAILED, outcome=b"", dead_reason=DeadReason.POISON)
    await queue.submissions.finish(0, [poison])
    assert await queue.submissions.redrive([submitted.prediction_id]) == [True]
    kept = await stored(queue, submitted.prediction_id)
    assert (kept.state, kept.dead_reason, kept.ended_ms) == (State.QUEUED, "", None)


async def test_of_very_many_callbacks_all_are_found_due_in_time(queue: Queue) -> None:
    keys = {f"acme/{number}" for number in range(4_400)}
    new = [new_submission(callback=CallbackChoice(key=key)) for key in keys]
    await queue.submissions.submit(0, new)
    while claims := await queue.submissions.claim(0, 512):
        await queue.submissions.finish(0, [result_of(claim) for claim in claims])
    found: set[str] = set()
    for _ in range(500):
        found.update(await queue.submissions.due_callbacks(0))
        if found == keys:
            break
    assert found == keys


async def test_large_results_are_claimed_and_published_in_parts(queue: Queue) -> None:
    outcome = bytes(1_000_000)
    for _ in range(12):
        await submit(queue, callback=CALLBACK)
        await finish_one(queue, outcome=outcome)
    first, second = await claim_due(queue, most=100), await claim_due(queue, most=100)
    assert (len(first), len(second)) == (8, 4)
    assert {claim.prediction.outcome for claim in first + second} == {outcome}
    assert [await queue.submissions.publish(0, 100) for _ in range(3)] == [8, 4, 0]
