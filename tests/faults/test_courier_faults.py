"""The courier, killed, stopped, and without its Redis."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tailrace.cli.local.lifeline import tied
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import DispatcherSettings
from tailrace.submissions.open_queue import open_queue
from tailrace.submissions.records import DeliveryState
from tests.support.courier_world import (
    courier_settings,
    ended,
    finished,
    register,
    running_courier,
)
from tests.support.grpc_receiver import grpc_receiver
from tests.support.running_mesh import metric_at
from tests.support.submissions import stored, until

PARTITIONS = 3


async def start_courier(url: str, log: Path, **settings: str) -> asyncio.subprocess.Process:
    environment = {
        "TAILRACE_QUEUE_REDIS_URL": url,
        "TAILRACE_QUEUE_PARTITIONS": str(PARTITIONS),
        "TAILRACE_CALLBACK_ALLOWED_NETWORKS": '["127.0.0.0/8"]',
        "TAILRACE_CALLBACK_ALLOW_PLAINTEXT": "true",
        "TAILRACE_COURIER_ATTEMPT_TIMEOUT_MS": "10000",
        "TAILRACE_COURIER_RETRY_S": "[0.1, 0.1]",
        "TAILRACE_LOG_LEVEL": "debug",
    }
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *tied([sys.executable, "-m", "tailrace.cli", "serve", "courier"]),
            env=os.environ | environment | settings,
            stdout=output,
            stderr=output,
        )


async def stop(process: asyncio.subprocess.Process, number: signal.Signals) -> int:
    try:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await asyncio.wait_for(process.wait(), 30)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


def queue_settings(url: str) -> DispatcherSettings:
    return DispatcherSettings(queue_redis_url=url, queue_partitions=PARTITIONS)


async def test_what_a_killed_courier_had_in_flight_is_delivered_again(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    log = tmp_path / "courier.log"
    async with (
        open_queue(queue_settings(queue_redis.url), "test") as queue,
        grpc_receiver() as receiver,
    ):
        receiver.hold.clear()
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", max_batch=20)
        ids = await finished(queue, callback, 20)
        killed = await start_courier(
            queue_redis.url, log, TAILRACE_COURIER_ATTEMPT_TIMEOUT_MS="3000"
        )
        # The receiver has taken all of them, and nobody has heard of it.
        try:
            await receiver.wait_for(20)
        finally:
            await stop(killed, signal.SIGKILL)
        receiver.hold.set()
        other = await start_courier(queue_redis.url, log)
        try:
            ends = [
                await ended(queue, prediction, DeliveryState.DELIVERED, 40.0) for prediction in ids
            ]
        finally:
            status = await stop(other, signal.SIGTERM)

    assert status == 0
    # What the first one did was never written.
    assert {tuple(attempt.result for attempt in end.attempts) for end in ends} == {("gRPC OK",)}
    for prediction in ids:
        same = [each for each in receiver.deliveries if each.delivery_id == prediction]
        assert len(same) >= 2
        assert len({each.prediction_record for each in same}) == 1
    assert callback.secrets[0].text.removeprefix("whsec_") not in log.read_text()


async def test_a_stopped_courier_finishes_what_it_has_begun(
    queue_redis: LocalRedis, tmp_path: Path
) -> None:
    async with (
        open_queue(queue_settings(queue_redis.url), "test") as queue,
        grpc_receiver() as receiver,
    ):
        receiver.hold.clear()
        callback = await register(
            queue,
            "grpc",
            f"grpc://127.0.0.1:{receiver.port}",
            max_in_flight=1,
            attempt_timeout_ms=20_000,
        )
        ids = await finished(queue, callback, 2)
        log, ready = tmp_path / "courier.log", tmp_path / "ready.json"
        process = await start_courier(queue_redis.url, log, TAILRACE_READY_FILE=str(ready))
        try:
            await receiver.wait_for(1)
            port = json.loads(ready.read_text())["metrics_port"]
            process.terminate()

            async def is_draining() -> bool:
                return "draining" in log.read_text()

            await until(is_draining)
            # What it still does can be seen.
            in_flight = await asyncio.to_thread(metric_at, port, names.COURIER_MESSAGES_IN_FLIGHT)
        finally:
            receiver.hold.set()
            status = await stop(process, signal.SIGTERM)
        first = receiver.deliveries[0].delivery_id
        states = [(await stored(queue, each)).delivery_state for each in (first, *ids)]

    assert status == 0
    assert in_flight == 1
    assert not ready.exists()
    assert states[0] is DeliveryState.DELIVERED


async def test_results_wait_for_a_redis_that_is_away(start_queue_redis: Any) -> None:
    server: LocalRedis = start_queue_redis()
    settings = courier_settings(server.url)
    async with (
        open_queue(queue_settings(server.url), "test") as queue,
        grpc_receiver() as receiver,
        running_courier(settings, queue),
    ):
        receiver.hold.clear()
        callback = await register(queue, "grpc", f"grpc://127.0.0.1:{receiver.port}", max_batch=50)
        ids = await finished(queue, callback, 30)
        await receiver.wait_for(30)
        port = server.port
        server.kill()
        # They are confirmed while nobody can write it down.
        receiver.hold.set()
        # Courier and receiver are in this process, and go on meanwhile.
        server.launch()
        await asyncio.to_thread(server.wait_ready)
        assert server.port == port
        ends = [await ended(queue, prediction, DeliveryState.DELIVERED) for prediction in ids]

    assert {end.delivery_attempts for end in ends} == {1}
    assert len(receiver.deliveries) == 30
