"""Changes, the output stream, hints, and listings."""

from __future__ import annotations

import asyncio
import base64

import pytest
import redis

from tailrace.runtime.config import DispatcherSettings
from tailrace.runtime.errors import InvalidField
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import State, StoredPrediction
from tests.support.queue_fixtures import OpenTestQueue
from tests.support.submissions import (
    CALLBACK,
    attempt_of,
    claim_due,
    claim_one,
    finish_one,
    new_submission,
    result_of,
    submit,
)


async def test_a_waiting_reader_is_woken_by_a_change(queue: Queue) -> None:
    reader = asyncio.create_task(queue.submissions.changes(0, "0", 10, 60_000))
    submitted = await submit(queue, callback=CALLBACK)
    await finish_one(queue)
    (change,) = await reader
    assert (change.prediction_id, change.state) == (submitted.prediction_id, State.SUCCEEDED)
    (claim,) = await claim_due(queue)
    reader = asyncio.create_task(queue.submissions.changes(0, change.position, 10, 60_000))
    await queue.submissions.settle_deliveries(0, [attempt_of(claim)])
    (ended,) = await reader
    assert (ended.delivery_state, ended.tenant, ended.pipeline) == (2, "acme", "flights")


async def test_a_reader_that_waits_in_vain_gets_nothing(queue: Queue) -> None:
    assert await queue.submissions.changes(0, "0", 10, 20) == []
    assert await queue.submissions.last_position(0) == "0-0"


async def test_the_output_stream_has_every_result(
    queue: Queue, queue_settings: DispatcherSettings
) -> None:
    for partition in range(3):
        submitted = await submit(queue, partition, callback=CALLBACK)
        await finish_one(queue, partition, outcome=b"outcome")
        (claim,) = await claim_due(queue, partition)
        await queue.submissions.settle_deliveries(partition, [attempt_of(claim)])
        assert await queue.submissions.publish(partition, 1) == 1
        assert await queue.submissions.publish(partition, 1) == 0
    entries = _output(queue_settings)
    assert len(entries) == 3
    fields = entries[-1]
    assert fields[b"prediction_id"].decode() == submitted.prediction_id
    assert (fields[b"outcome"], fields[b"state"]) == (b"outcome", b"3")
    assert int(fields[b"created_ms"]) == submitted.created_ms


async def test_publishers_share_the_work_without_repeating_it(
    open_test_queue: OpenTestQueue, queue_settings: DispatcherSettings
) -> None:
    async with open_test_queue() as one, open_test_queue() as other:
        await one.submissions.submit(0, [new_submission() for _ in range(100)])
        claims = await one.submissions.claim(0, 100)
        await one.submissions.finish(0, [result_of(claim) for claim in claims])

        appended: list[int] = []

        async def publish(queue: Queue) -> None:
            while sum(appended) < 100:
                appended.append(await queue.submissions.publish(0, 7))

        await asyncio.gather(publish(one), publish(other))
        assert sum(appended) == len(_output(queue_settings)) == 100


def _output(settings: DispatcherSettings) -> list[dict[bytes, bytes]]:
    assert settings.queue_redis_url is not None
    kind = redis.RedisCluster if settings.queue_redis_cluster else redis.Redis
    with kind.from_url(settings.queue_redis_url) as client:
        entries = client.xrange("tailrace:predictions")
    return [fields for _, fields in entries]


async def test_the_output_stream_is_bounded(
    open_test_queue: OpenTestQueue, queue_settings: DispatcherSettings
) -> None:
    async with open_test_queue(output_stream_max=100) as queue:
        for _ in range(4):
            await queue.submissions.submit(0, [new_submission() for _ in range(200)])
            claims = await queue.submissions.claim(0, 200)
            await queue.submissions.finish(0, [result_of(claim) for claim in claims])
            assert await queue.submissions.publish(0, 512) == 200
    assert 100 <= len(_output(queue_settings)) < 400


async def test_waiters_are_told_of_what_is_queued_and_due(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue() as one, open_test_queue() as other:
        # The first wait ends once the subscription stands.
        await one.submissions.wait_queued(60)
        await one.submissions.wait_due(60)
        queued = asyncio.create_task(one.submissions.wait_queued(60))
        await submit(other, callback=CALLBACK)
        await queued
        due = asyncio.create_task(one.submissions.wait_due(60))
        await finish_one(other)
        await due


async def test_a_wait_without_hints_ends_by_itself(queue: Queue) -> None:
    await queue.submissions.wait_queued(60)
    await queue.submissions.wait_queued(0.01)
    await queue.submissions.wait_due(60)
    await queue.submissions.wait_due(0.01)


async def test_pages_have_every_submission_once(queue: Queue) -> None:
    expected = set()
    for partition in range(3):
        new = [new_submission(partition) for _ in range(25)]
        await queue.submissions.submit(partition, new)
        expected |= {each.prediction_id for each in new}
    found = await _pages(queue, page_size=10)
    assert len(found) == 75
    assert {each.prediction_id for each in found} == expected
    assert found[0].prediction_id > found[1].prediction_id


async def test_a_page_goes_on_where_the_one_before_ended_though_that_has_left(
    queue: Queue,
) -> None:
    new = [new_submission() for _ in range(10)]
    await queue.submissions.submit(0, new)
    found, token = await _page(queue, 4, "")
    for each in found:
        await queue.submissions.cancel(each.prediction_id, "")
    rest = []
    while token:
        found, token = await _page(queue, 4, token)
        rest += [each.prediction_id for each in found]
    assert sorted(rest) == sorted(each.prediction_id for each in new[:6])


async def test_a_list_is_of_one_tenant_and_pipeline(queue: Queue) -> None:
    wanted = await submit(queue, tenant="bolt", pipeline="trains")
    await submit(queue, tenant="bolt")
    await submit(queue, pipeline="trains")
    found = await _pages(queue, tenant="bolt", pipeline="trains")
    assert [each.prediction_id for each in found] == [wanted.prediction_id]


async def test_a_page_token_that_is_none_is_refused(queue: Queue) -> None:
    await submit(queue)
    texts = ("0", "0  A", "0 1 ", "0 ٣ A", "٣  ", "0 1 A B", "1000  ", "0 x A", "0 1 A\n")
    made = [base64.urlsafe_b64encode(text.encode()).decode() for text in texts]
    for token in ("x", "====", "AAAA", "é", *made):
        with pytest.raises(InvalidField):
            await _page(queue, 10, token)


async def _page(
    queue: Queue, page_size: int, token: str, tenant: str = "", pipeline: str = ""
) -> tuple[list[StoredPrediction], str]:
    return await queue.submissions.list_state(
        State.QUEUED, tenant=tenant, pipeline=pipeline, page_size=page_size, page_token=token
    )


async def _pages(queue: Queue, page_size: int = 10, **wanted: str) -> list[StoredPrediction]:
    found, token = await _page(queue, page_size, "", **wanted)
    while token:
        more, token = await _page(queue, page_size, token, **wanted)
        found += more
    return found


async def test_counts_tell_what_a_partition_holds(queue: Queue) -> None:
    first = await submit(queue, callback=CALLBACK)
    await submit(queue)
    await submit(queue)
    await queue.submissions.finish(0, [result_of(await claim_one(queue))])
    await claim_one(queue)
    counts = await queue.submissions.counts(0)
    expected = {State.QUEUED: 1, State.RUNNING: 1, State.SUCCEEDED: 1}
    assert counts.states == {state: expected.get(state, 0) for state in State}
    assert (counts.deliveries_pending, counts.dead_letters) == (1, 0)
    assert counts.oldest_queued_ms is not None
    assert counts.oldest_queued_ms >= first.created_ms
    assert counts.oldest_due_ms is not None
    await claim_due(queue)
    assert (await queue.submissions.counts(0)).oldest_due_ms is None
