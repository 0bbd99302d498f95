"""What the queue still does when its Redis is out of memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tailrace.cli.local.ports import LOOPBACK
from tailrace.runtime.config import DispatcherSettings
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import DeadReason, RunPostponed, State
from tests.support.queue_fixtures import OpenTestQueue
from tests.support.submissions import (
    CALLBACK,
    attempt_of,
    callback_record,
    claim_due,
    new_submission,
    result_of,
    stored,
    submit,
    submit_past,
    until,
)


class _Memory:
    """Of all servers of a queue."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls

    def set(self, limit_bytes: int) -> None:
        for url in self._urls:
            with redis.Redis.from_url(url) as client:
                client.config_set("maxmemory", limit_bytes)


@pytest.fixture
def memory(queue_settings: DispatcherSettings, request: pytest.FixtureRequest) -> Iterator[_Memory]:
    if queue_settings.queue_redis_cluster:
        ports = request.getfixturevalue("queue_cluster").ports
        urls = [f"redis://{LOOPBACK}:{port}" for port in ports]
    else:
        urls = [request.getfixturevalue("queue_redis").url]
    memory = _Memory(urls)
    yield memory
    memory.set(0)


async def test_what_is_held_runs_is_delivered_and_leaves_though_there_is_no_memory(
    open_test_queue: OpenTestQueue, memory: _Memory
) -> None:
    async with open_test_queue(result_ttl_s=1, dead_letter_ttl_s=1) as queue:
        store = queue.submissions
        ids = [(await submit(queue, callback=CALLBACK)).prediction_id for _ in range(4)]
        expired = await submit_past(queue)
        await queue.callbacks.create(callback_record("orders"))
        memory.set(1)
        with pytest.raises(QueueUnavailable, match="OOM"):
            await store.submit(0, [new_submission()])

        assert await store.sweep(0) == 1
        assert (await stored(queue, expired.prediction_id)).state is State.EXPIRED
        claims = await store.claim(0, 10)
        assert [claim.prediction_id for claim in claims] == ids
        assert await store.renew(0, claims) == [True] * 4
        back = RunPostponed(prediction_id=ids[3], fence=claims[3].fence, delay_ms=0)
        assert await store.postpone(0, [back]) == [True]
        assert await store.finish(0, [result_of(claim) for claim in claims[:3]]) == [True] * 3
        assert (await store.cancel(ids[3], "")).state is State.CANCELLED

        released = await claim_due(queue, most=1)
        assert await store.release_deliveries(0, released) == [True]
        first, second = await claim_due(queue, most=2)
        dead = attempt_of(second, dead_reason=DeadReason.ATTEMPTS_EXHAUSTED)
        assert await store.settle_deliveries(0, [attempt_of(first), dead]) == [True, True]
        reason = DeadReason.CALLBACK_DELETED
        assert await store.kill_deliveries(0, CALLBACK.key, reason, 10) == 2
        assert await store.redrive([second.prediction_id]) == [True]
        assert await store.kill_deliveries(0, CALLBACK.key, reason, 10) == 1
        await queue.callbacks.delete("acme", "orders")

        assert await store.publish(0, 100) == 5
        await until(lambda: _is_empty(queue))


async def _is_empty(queue: Queue) -> bool:
    await queue.submissions.sweep(0)
    return sum((await queue.submissions.counts(0)).states.values()) == 0
