"""Submissions written together, with a cluster of which a part refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from tailrace.cli.local.ports import LOOPBACK
from tailrace.gateway.group_commit import AWAY_S, GroupCommit
from tailrace.runtime.config import DispatcherSettings
from tailrace.submissions.open_queue import open_queue
from tailrace.submissions.records import Submitted
from tests.support.redis_cluster import LocalCluster
from tests.support.submissions import new_submission

PARTITIONS = 6


@pytest.fixture
def full_node(queue_cluster: LocalCluster) -> Iterator[None]:
    """Has one node of the cluster refuse what is new."""
    with redis.Redis(LOOPBACK, queue_cluster.ports[0]) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@pytest.mark.usefixtures("full_node")
async def test_what_may_go_anywhere_keeps_away_from_partitions_that_refuse(
    queue_cluster: LocalCluster,
) -> None:
    settings = DispatcherSettings(
        queue_redis_url=queue_cluster.url, queue_redis_cluster=True, queue_partitions=PARTITIONS
    )
    async with open_queue(settings, "test") as queue:
        commit = GroupCommit(queue.submissions)
        taken, refused = set(), []
        began_s = time.monotonic()
        # Until all of them have had a turn.
        for _ in range(6 * PARTITIONS):
            partition = commit.free_partition()
            new = [new_submission(partition) for _ in range(100)]
            [outcome, *_] = await commit.add(partition, new, free=True)
            if isinstance(outcome, Submitted):
                taken.add(partition)
            else:
                refused.append(partition)
        rounds = 1 + int((time.monotonic() - began_s) / AWAY_S)
        assert refused
        assert taken == set(range(PARTITIONS)) - set(refused)
        assert len(refused) <= rounds * len(set(refused))
        await commit.close()
