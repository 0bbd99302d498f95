"""One node of the cluster dies: its partitions are unavailable, and come back whole."""

from __future__ import annotations

import asyncio

from tailrace.runtime.config import DispatcherSettings
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.open_queue import open_queue
from tests.support.redis_cluster import LocalCluster
from tests.support.submissions import new_submission, submit, until


async def test_what_a_node_acknowledged_is_there_after_its_death(
    queue_cluster: LocalCluster,
) -> None:
    settings = DispatcherSettings(
        queue_redis_url=queue_cluster.url, queue_redis_cluster=True, queue_partitions=6
    )
    async with open_queue(settings, "test") as queue:
        ids = [(await submit(queue, partition)).prediction_id for partition in range(6)]
        queue_cluster.nodes[1].kill()

        async def works(partition: int) -> bool:
            try:
                await queue.submissions.submit(partition, [new_submission(partition)])
            except QueueUnavailable:
                return False
            return True

        answers = await asyncio.gather(*(works(partition) for partition in range(6)))
        assert not all(answers)
        queue_cluster.restart(1)

        async def all_work() -> bool:
            return all(await asyncio.gather(*(works(partition) for partition in range(6))))

        await until(all_work, timeout_s=30)
        found = await queue.submissions.get(ids, outcomes=False)
        assert all(each is not None for each in found)
