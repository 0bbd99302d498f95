"""Everything of a submission disappears in the end, and nothing before its time."""

from __future__ import annotations

import pytest
import redis

from tailrace.runtime.config import DispatcherSettings
from tailrace.runtime.errors import InvalidField, OutOfRange
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import DeadReason, State
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
    submit_past,
)

# Ends at once whatever has a time to live.
NO_TTLS = {"result_ttl_s": 0, "dead_letter_ttl_s": 0, "changes_ttl_s": 0}


async def test_nothing_is_left_of_what_is_over(
    open_test_queue: OpenTestQueue, queue_settings: DispatcherSettings
) -> None:
    async with open_test_queue(**NO_TTLS) as queue:
        for turn in range(3):
            await _live_and_die(queue, turn)
        assert await queue.submissions.publish(0, 512) > 0
        while await queue.submissions.sweep(0):
            pass
        left = set(_all_keys(queue_settings))
    fixed = {"tailrace:partitions", "tailrace:predictions"}
    partition = {f"tailrace:{{q0}}:{name}" for name in ("changes", "progress")}
    assert left == fixed | partition | {f"tailrace:{{q0}}:queue:{p}" for p in (1, 2, 3, 4)}


async def _live_and_die(queue: Queue, turn: int) -> None:
    await submit(queue, idempotency_key=f"delivered {turn}", callback=CALLBACK)
    await submit(queue, idempotency_key=f"dead {turn}", callback=CALLBACK)
    await submit(
        queue, idempotency_key=f"ordered {turn}", callback=ORDERED_CALLBACK, ordering_key="a"
    )
    await submit(queue, idempotency_key=f"plain {turn}")
    await submit_past(queue, idempotency_key=f"expired {turn}")
    poison = await submit(queue, idempotency_key=f"poison {turn}", priority=3)
    cancelled = await submit(queue, idempotency_key=f"cancelled {turn}")
    await queue.submissions.cancel(cancelled.prediction_id, "")
    claims = await queue.submissions.claim(0, 10)
    assert len(claims) == 5
    await queue.submissions.finish(
        0,
        [
            result_of(
                claim,
                dead_reason=DeadReason.POISON
                if claim.prediction_id == poison.prediction_id
                else None,
                state=State.FAILED,
            )
            for claim in claims
        ],
    )
    delivered, dead, ordered = await claim_due(queue)
    results = [
        attempt_of(delivered),
        attempt_of(dead, dead_reason=DeadReason.ATTEMPTS_EXHAUSTED),
        attempt_of(ordered),
    ]
    assert await queue.submissions.settle_deliveries(0, results) == [True] * 3


def _all_keys(settings: DispatcherSettings) -> list[str]:
    assert settings.queue_redis_url is not None
    if not settings.queue_redis_cluster:
        with redis.Redis.from_url(settings.queue_redis_url, decode_responses=True) as client:
            return list(client.keys())
    with redis.RedisCluster.from_url(settings.queue_redis_url, decode_responses=True) as cluster:
        return list(cluster.keys(target_nodes=redis.RedisCluster.PRIMARIES))


async def test_a_result_is_kept_until_it_is_delivered(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(**NO_TTLS) as queue:
        submitted = await submit(queue, callback=CALLBACK)
        await finish_one(queue)
        await queue.submissions.publish(0, 10)
        assert await queue.submissions.sweep(0) == 0
        (claim,) = await claim_due(queue)
        await queue.submissions.settle_deliveries(0, [attempt_of(claim)])
        await queue.submissions.publish(0, 10)
        assert await queue.submissions.sweep(0) == 1
        assert await queue.submissions.get([submitted.prediction_id], outcomes=False) == [None]


async def test_a_result_is_kept_until_it_is_published(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(**NO_TTLS) as queue:
        submitted = await submit(queue)
        await finish_one(queue)
        assert await queue.submissions.sweep(0) == 0
        assert (await stored(queue, submitted.prediction_id)).state is State.SUCCEEDED
        assert await queue.submissions.publish(0, 10) == 1
        assert await queue.submissions.sweep(0) == 1


async def test_a_redriven_dead_letter_is_not_deleted_by_its_old_timer(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(**NO_TTLS) as queue:
        submitted = await submit(queue, callback=CALLBACK)
        await finish_one(queue)
        (claim,) = await claim_due(queue)
        given_up = attempt_of(claim, dead_reason=DeadReason.ATTEMPTS_EXHAUSTED)
        await queue.submissions.settle_deliveries(0, [given_up])
        await queue.submissions.redrive([submitted.prediction_id])
        await queue.submissions.publish(0, 10)
        assert await queue.submissions.sweep(0) == 0
        assert len(await claim_due(queue)) == 1


async def test_what_the_sweep_deletes_frees_its_idempotency_key(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(**NO_TTLS) as queue:
        first = await submit(queue, idempotency_key="k")
        await finish_one(queue)
        await queue.submissions.publish(0, 10)
        await queue.submissions.sweep(0)
        second = await submit(queue, idempotency_key="k")
        assert not second.already_submitted
        assert second.prediction_id != first.prediction_id


async def test_a_position_before_what_was_trimmed_is_out_of_range(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(**NO_TTLS) as queue:
        empty = await queue.submissions.last_position(0)
        for _ in range(3):
            await submit(queue)
            await finish_one(queue)
        first, second, last = await queue.submissions.changes(0, "0", 10, None)
        assert await queue.submissions.changes(0, first.position, 1, None) == [second]
        await queue.submissions.publish(0, 10)
        await queue.submissions.sweep(0)
        for position in (empty, first.position):
            with pytest.raises(OutOfRange):
                await queue.submissions.changes(0, position, 10, None)
        # Whoever has seen all goes on, however long ago that was.
        assert await queue.submissions.last_position(0) == last.position
        assert await queue.submissions.changes(0, last.position, 10, None) == []
        await submit(queue)
        await finish_one(queue)
        assert len(await queue.submissions.changes(0, last.position, 10, None)) == 1


async def test_changes_that_are_not_published_are_not_trimmed(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(**NO_TTLS) as queue:
        for _ in range(5):
            await submit(queue)
            await finish_one(queue)
        assert await queue.submissions.publish(0, 2) == 2
        await queue.submissions.sweep(0)
        assert await queue.submissions.publish(0, 10) == 3


async def test_a_position_that_is_none_is_refused(queue: Queue) -> None:
    for text in ("", "x", "1-2-3", "-1", "1;2", "٣", "1-٣"):
        with pytest.raises(InvalidField):
            await queue.submissions.changes(0, text, 10, None)


async def test_a_sweep_does_a_bounded_part(open_test_queue: OpenTestQueue) -> None:
    async with open_test_queue(submission_ttl_s=0) as queue:
        await queue.submissions.submit(0, [new_submission() for _ in range(700)])
        counts = []
        while count := await queue.submissions.sweep(0):
            counts.append(count)
        assert sum(counts) == 700
        assert max(counts) < 700


async def test_expiry_of_what_is_claimed_is_left_to_its_dispatcher(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue() as queue:
        now_ms = await queue.submissions.now_ms()
        await submit(queue, not_after_ms=now_ms + 60_000)
        claim = await claim_one(queue)
        assert await queue.submissions.sweep(0) == 0
        assert await queue.submissions.finish(0, [result_of(claim)]) == [True]
