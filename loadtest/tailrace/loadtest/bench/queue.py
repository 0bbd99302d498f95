"""What submissions cost in the queue: `python -m tailrace.loadtest.bench.queue`.

A Redis of its own, one caller, batches as the services make them. For each step of a submission's
life: time on the wall, CPU of Redis and of this process, in µs for each submission.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.runtime.config import DispatcherSettings
from tailrace.submissions.ids import new_prediction_id
from tailrace.submissions.open_queue import Queue, open_queue
from tailrace.submissions.records import (
    AttemptRecord,
    CallbackChoice,
    Claim,
    DeliveryClaim,
    DeliveryResult,
    NewSubmission,
    RunResult,
    State,
    Submitted,
)

_CALLBACK = CallbackChoice(key="acme/bench")
_LEASE_MS = 60_000


@dataclass
class Step:
    """What one step has taken, in seconds, and for how many submissions."""

    wall_s: float = 0
    redis_s: float = 0
    client_s: float = 0
    submissions: int = 0


@dataclass
class QueueBench:
    """Runs submissions through their lives, step by step, each step for all partitions."""

    queue: Queue
    redis: psutil.Process
    batch: int
    steps: dict[str, Step] = field(default_factory=dict)

    async def run(self, batches: int, request: bytes, outcome: bytes, keys: bool) -> None:
        """Takes `batches` batches through each step."""
        store = self.queue.submissions
        partitions = [number % store.partitions for number in range(batches)]
        claimed: list[list[Claim]] = []
        due: list[list[DeliveryClaim]] = []
        new = [self._new(partition, request, keys) for partition in partitions]

        async def submit(index: int) -> int:
            outcomes = await store.submit(partitions[index], new[index])
            return sum(isinstance(each, Submitted) for each in outcomes)

        async def claim(index: int) -> int:
            claimed.append(await store.claim(partitions[index], self.batch))
            return len(claimed[-1])

        async def finish(index: int) -> int:
            results = [
                RunResult(
                    prediction_id=each.prediction_id,
                    fence=each.fence,
                    state=State.SUCCEEDED,
                    outcome=outcome,
                )
                for each in claimed[index]
            ]
            return sum(await store.finish(partitions[index], results))

        async def claim_deliveries(index: int) -> int:
            claims = await store.claim_deliveries(
                partitions[index], _CALLBACK.key, self.batch, _LEASE_MS
            )
            due.append(claims)
            return len(claims)

        async def settle(index: int) -> int:
            results = [
                DeliveryResult(
                    prediction_id=each.prediction_id,
                    fence=each.fence,
                    record=AttemptRecord(
                        attempt=each.attempt,
                        started_ms=each.prediction.created_ms,
                        duration_ms=3,
                        delivered=True,
                        result="HTTP 200",
                    ),
                )
                for each in due[index]
            ]
            return sum(await store.settle_deliveries(partitions[index], results))

        async def publish(index: int) -> int:
            return await store.publish(partitions[index], 2 * self.batch)

        async def sweep(index: int) -> int:
            return await store.sweep(partitions[index])

        for step in (submit, claim, finish, claim_deliveries, settle, publish, sweep):
            await self._measure(step.__name__, step, batches)

    def _new(self, partition: int, request: bytes, keys: bool) -> list[NewSubmission]:
        ids = [new_prediction_id(partition) for _ in range(self.batch)]
        digest = hashlib.sha256(request).digest()
        return [
            NewSubmission(
                prediction_id=prediction_id,
                tenant="acme",
                idempotency_key=prediction_id if keys else "",
                body_digest=digest,
                pipeline="flights",
                request_id=prediction_id,
                ordering_key="",
                priority=2,
                request=request,
                callback=_CALLBACK,
                not_after_ms=None,
                traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            for prediction_id in ids
        ]

    async def _measure(
        self, name: str, step: Callable[[int], Awaitable[int]], batches: int
    ) -> None:
        total = self.steps.setdefault(name, Step())
        wall, cpu, redis = time.perf_counter(), time.process_time(), self._redis_s()
        for index in range(batches):
            total.submissions += await step(index)
        total.wall_s += time.perf_counter() - wall
        total.client_s += time.process_time() - cpu
        total.redis_s += self._redis_s() - redis

    def _redis_s(self) -> float:
        times = self.redis.cpu_times()
        return times.user + times.system


@asynccontextmanager
async def _own_queue(
    durability: Literal["always", "everysec", "none"],
) -> AsyncIterator[tuple[Queue, LocalRedis]]:
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as name:
        folder = Path(name)
        server = LocalRedis(
            log_path=folder / "redis.log",
            data_dir=folder,
            append_only=durability != "none",
            append_fsync="no" if durability == "none" else durability,
        )
        try:
            server.start()
            settings = DispatcherSettings(
                queue_redis_url=server.url,
                queue_durability=durability,
                max_queued_submissions=10_000_000,
            )
            # What is over is swept at once.
            settings = settings.model_copy(update={"result_ttl_s": 0})
            async with open_queue(settings, "bench") as queue:
                yield queue, server
        finally:
            server.stop()


async def _bench(options: argparse.Namespace) -> Table:
    async with _own_queue(options.durability) as (queue, server):
        bench = QueueBench(queue, psutil.Process(server.process.pid), options.batch)
        request, outcome = bytes(options.request_bytes), bytes(options.outcome_bytes)
        for _ in range(options.rounds):
            await bench.run(options.batches, request, outcome, options.keys)
    table = Table("step", "wall", "Redis CPU", "client CPU", "submissions")
    total = Step()
    for name, step in bench.steps.items():
        table.add_row(name, *_cells(step))
        total.wall_s += step.wall_s
        total.redis_s += step.redis_s
        total.client_s += step.client_s
        total.submissions = step.submissions
    table.add_row("all", *_cells(total))
    return table


def _cells(step: Step) -> list[str]:
    count = max(1, step.submissions)
    times = (step.wall_s, step.redis_s, step.client_s)
    return [*(f"{seconds / count * 1e6:.1f} µs" for seconds in times), str(step.submissions)]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128, help="submissions of one call")
    parser.add_argument("--batches", type=int, default=40, help="calls of each step in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--durability", choices=("always", "everysec", "none"), default="everysec")
    parser.add_argument("--request-bytes", type=int, default=300)
    parser.add_argument("--outcome-bytes", type=int, default=300)
    parser.add_argument("--keys", action="store_true", help="with an idempotency key each")
    options = parser.parse_args()
    Console().print(uvloop.run(_bench(options)))


if __name__ == "__main__":
    main()
