"""What the queue does when its Redis dies, is full, or is the wrong one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import redis

from tailrace.cli.local.local_redis import LocalRedis, find_redis_server
from tailrace.runtime.config import DispatcherSettings
from tailrace.runtime.errors import QueueUnavailable
from tailrace.runtime.start_error import StartError
from tailrace.submissions.open_queue import open_queue
from tailrace.submissions.records import State, Submitted
from tests.support.queue_fixtures import StartQueueRedis
from tests.support.submissions import (
    CALLBACK,
    attempt_of,
    claim_due,
    claim_one,
    finish_one,
    new_submission,
    result_of,
    submit,
    until,
)


def _settings(server: LocalRedis, **changes: object) -> DispatcherSettings:
    settings = DispatcherSettings(queue_redis_url=server.url, queue_partitions=2)
    return settings.model_copy(update=changes)


async def test_all_that_was_acknowledged_survives_a_killed_redis(
    start_queue_redis: StartQueueRedis,
) -> None:
    server = start_queue_redis()
    async with open_queue(_settings(server), "test") as queue:
        acknowledged: set[str] = set()
        refused = asyncio.Event()

        async def submit_until_it_dies() -> None:
            while True:
                new = [new_submission(idempotency_key="") for _ in range(20)]
                try:
                    outcomes = await queue.submissions.submit(0, new)
                except QueueUnavailable:
                    refused.set()
                    return
                acknowledged.update(o.prediction_id for o in outcomes if isinstance(o, Submitted))

        writers = [asyncio.create_task(submit_until_it_dies()) for _ in range(4)]
        await until(lambda: _is(len(acknowledged) > 10_000))
        server.kill()
        await asyncio.gather(*writers)
        assert refused.is_set()
        await until(lambda: _is(not queue.available))
        server.start()
        await until(lambda: _is(queue.available))
        kept = await queue.submissions.get(sorted(acknowledged), outcomes=False)
        assert all(each is not None and each.state is State.QUEUED for each in kept)
        taken: set[str] = set()
        while claims := await queue.submissions.claim(0, 512):
            taken.update(claim.prediction_id for claim in claims)
        assert acknowledged <= taken


async def _is(condition: bool) -> bool:
    return condition


async def test_a_redis_that_is_reading_its_log_is_waited_for(
    start_queue_redis: StartQueueRedis, tmp_path: Path
) -> None:
    slow = tmp_path / "redis-server"
    # It answers every 1,000 commands, and says meanwhile that it has no log.
    command = f'{find_redis_server().absolute()} "$@" --key-load-delay 50'
    slow.write_text(f"#!/bin/sh\nexec {command}\n")
    slow.chmod(0o700)
    server = start_queue_redis(server_path=slow)
    with redis.Redis.from_url(server.url) as client:
        with client.pipeline(transaction=False) as pipeline:
            for number in range(20_000):
                pipeline.set(str(number), "")
            pipeline.execute()
        server.kill()
        server.start()
        assert client.info("persistence")["loading"] == 1
        async with open_queue(_settings(server), "test") as queue:
            assert not queue.available
            with pytest.raises(QueueUnavailable, match="LOADING"):
                await submit(queue)
            await until(lambda: _is(queue.available))
            await submit(queue)


async def test_claims_and_results_survive_a_killed_redis(
    start_queue_redis: StartQueueRedis,
) -> None:
    server = start_queue_redis()
    async with open_queue(_settings(server), "test") as queue:
        running = await submit(queue, callback=CALLBACK)
        claim = await claim_one(queue)
        await submit(queue, callback=CALLBACK)
        done = await finish_one(queue)
        server.kill()
        with pytest.raises(QueueUnavailable, match="cannot be reached"):
            await queue.submissions.finish(0, [result_of(claim)])
        server.start()
        await until(lambda: _is(queue.available))
        (delivery,) = await claim_due(queue)
        assert delivery.prediction_id == done.prediction_id
        assert await queue.submissions.settle_deliveries(0, [attempt_of(delivery)]) == [True]
        assert await queue.submissions.finish(0, [result_of(claim)]) == [True]
        assert claim.prediction_id == running.prediction_id


async def test_a_full_redis_refuses_what_is_new_and_lets_the_rest_end(
    start_queue_redis: StartQueueRedis,
) -> None:
    server = start_queue_redis(max_memory_bytes=6_000_000)
    async with open_queue(_settings(server), "test") as queue:
        accepted = 0
        with pytest.raises(QueueUnavailable, match="OOM"):
            while True:
                new = [new_submission(request=bytes(20_000), callback=CALLBACK) for _ in range(5)]
                accepted += len(await queue.submissions.submit(0, new))
        assert queue.available
        # A script that is refused has done nothing.
        counts = await queue.submissions.counts(0)
        assert counts.states[State.QUEUED] == accepted > 5
        ended = 0
        while claims := await queue.submissions.claim(0, 5):
            assert all(await queue.submissions.finish(0, [result_of(each) for each in claims]))
            ended += len(claims)
        assert ended == accepted
        await submit(queue)


@pytest.mark.parametrize(
    ("options", "wanted", "message"),
    [
        ({"append_only": False}, "always", "appendonly no, and TAILRACE_QUEUE_DURABILITY=always"),
        ({"append_only": False}, "everysec", "needs appendonly yes"),
        ({"append_fsync": "everysec"}, "always", "appendfsync everysec, .* appendfsync always"),
        ({"append_fsync": "no"}, "everysec", "appendfsync no"),
        ({"max_memory_policy": "allkeys-lru"}, "none", "maxmemory-policy allkeys-lru"),
        ({}, "waitaof", "version 6.* needs 7.2"),
    ],
)
async def test_a_redis_that_would_lose_submissions_is_refused(
    start_queue_redis: StartQueueRedis, options: dict[str, object], wanted: str, message: str
) -> None:
    server = start_queue_redis(**options)
    if wanted == "waitaof" and not server.version.startswith("6."):
        pytest.skip("this Redis has WAITAOF")
    with pytest.raises(StartError, match=message):
        async with open_queue(_settings(server, queue_durability=wanted), "test"):
            pass


@pytest.mark.parametrize(
    ("options", "wanted", "found"),
    [
        ({}, "everysec", "always"),
        ({"append_fsync": "everysec"}, "everysec", "everysec"),
        ({"append_only": False}, "none", "none"),
    ],
)
async def test_the_queue_tells_what_its_redis_makes_durable(
    start_queue_redis: StartQueueRedis, options: dict[str, object], wanted: str, found: str
) -> None:
    server = start_queue_redis(**options)
    async with open_queue(_settings(server, queue_durability=wanted), "test") as queue:
        assert queue.durability == found


async def test_a_redis_that_does_not_tell_is_refused(start_queue_redis: StartQueueRedis) -> None:
    server = start_queue_redis()
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser(
            "app", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all", "-config"]
        )
    url = server.url.replace("unix://", "unix://app:word@")
    settings = _settings(server, queue_redis_url=url)
    with pytest.raises(StartError, match=r"refuses CONFIG GET \(NOPERM\)"):
        async with open_queue(settings, "test"):
            pass
    settings = settings.model_copy(update={"queue_durability": "none"})
    async with open_queue(settings, "test") as queue:
        assert queue.durability == "unknown"


async def test_another_number_of_partitions_is_refused(start_queue_redis: StartQueueRedis) -> None:
    server = start_queue_redis()
    async with open_queue(_settings(server), "test"):
        pass
    with pytest.raises(StartError, match="has 2 partitions, and TAILRACE_QUEUE_PARTITIONS is 3"):
        async with open_queue(_settings(server, queue_partitions=3), "test"):
            pass


async def test_a_redis_that_is_no_longer_fit_is_not_written_to(
    start_queue_redis: StartQueueRedis,
) -> None:
    server = start_queue_redis()
    async with open_queue(_settings(server), "test") as queue:
        await submit(queue)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("appendfsync", "no")
            client.client_kill_filter(skipme=True, _type="normal")
            # The first that finds its connection lost does not know why.
            await asyncio.gather(submit(queue), return_exceptions=True)
            for _ in range(3):
                with pytest.raises(QueueUnavailable, match="appendfsync no"):
                    await submit(queue)
            assert not queue.available
            client.config_set("appendfsync", "always")
        await until(lambda: _is(queue.available))
        await submit(queue)


async def test_a_queue_opens_before_its_redis_is_there(
    start_queue_redis: StartQueueRedis,
) -> None:
    server = start_queue_redis()
    server.kill()
    async with open_queue(_settings(server), "test") as queue:
        assert not queue.available
        assert queue.durability == "unknown"
        with pytest.raises(QueueUnavailable, match="cannot be reached"):
            await queue.submissions.submit(0, [new_submission()])
        await queue.submissions.wait_queued(0.01)
        server.start()
        await until(lambda: _is(queue.available))
        await submit(queue)


async def test_a_hint_comes_through_after_a_restart(start_queue_redis: StartQueueRedis) -> None:
    server = start_queue_redis()
    async with open_queue(_settings(server), "test") as queue:
        await queue.submissions.wait_queued(60)
        server.kill()
        server.start()
        # Having lost the connection is a reason to look, too.
        await queue.submissions.wait_queued(60)
        await until(lambda: _is(queue.available))
        waiting = asyncio.create_task(queue.submissions.wait_queued(60))
        await submit(queue)
        await waiting


async def test_a_url_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    for url in ("http://x", "redis://h:1?nonsense=1"):
        settings = DispatcherSettings(queue_redis_url=url)
        with pytest.raises(StartError, match="TAILRACE_QUEUE_REDIS_URL"):
            async with open_queue(settings, "test"):
                pass
