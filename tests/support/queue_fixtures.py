"""Fixtures with a real queue: Redis with an append-only log, one server and a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.runtime.config import DispatcherSettings
from tailrace.submissions.open_queue import Queue, open_queue
from tests.support.redis_cluster import LocalCluster


class OpenTestQueue(Protocol):
    """Opens the queue of the test; the arguments are settings that differ."""

    def __call__(self, **changes: object) -> AbstractAsyncContextManager[Queue]:
        """Returns the queue, to be entered."""


class StartQueueRedis(Protocol):
    """Starts a Redis fit for a queue; the arguments are those of `LocalRedis` that differ."""

    def __call__(self, **options: Any) -> LocalRedis:
        """Returns a Redis that answers."""


@pytest.fixture
def start_queue_redis(tmp_path: Path) -> Iterator[StartQueueRedis]:
    """Starts as many as a test wants, to kill and to start again as it likes."""
    servers: list[LocalRedis] = []

    def start(**options: Any) -> LocalRedis:
        folder = tmp_path / f"queue-redis-{len(servers)}"
        folder.mkdir()
        fit: dict[str, Any] = {"append_only": True, "append_fsync": "always", "data_dir": folder}
        server = LocalRedis(log_path=folder / "redis.log", **fit | options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def shared_queue_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """A Redis that all tests share, with everything synced to disk; use `queue_redis`."""
    folder = tmp_path_factory.mktemp("queue-redis")
    server = LocalRedis(
        log_path=folder / "redis.log", data_dir=folder, append_only=True, append_fsync="always"
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def shared_queue_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster of three nodes that all tests share; use `queue_cluster`."""
    cluster = LocalCluster(tmp_path_factory.mktemp("queue-cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def queue_redis(shared_queue_redis: LocalRedis) -> LocalRedis:
    """The shared Redis for queues, emptied; a test that kills or fills one starts its own."""
    with redis.Redis.from_url(shared_queue_redis.url) as client:
        client.flushall()
    return shared_queue_redis


@pytest.fixture
def queue_cluster(shared_queue_cluster: LocalCluster) -> LocalCluster:
    """The shared cluster, emptied."""
    shared_queue_cluster.empty()
    return shared_queue_cluster


@pytest.fixture(params=["single", "cluster"])
def queue_settings(request: pytest.FixtureRequest) -> DispatcherSettings:
    """Settings for an empty queue, on one server and on a cluster in turn."""
    is_cluster = request.param == "cluster"
    server = request.getfixturevalue("queue_cluster" if is_cluster else "queue_redis")
    return DispatcherSettings(
        queue_redis_url=server.url, queue_redis_cluster=is_cluster, queue_partitions=3
    )


@pytest.fixture
def open_test_queue(queue_settings: DispatcherSettings) -> OpenTestQueue:
    """Opens the queue as often as a test wants, each with links of its own."""

    def open_changed(**changes: object) -> AbstractAsyncContextManager[Queue]:
        return open_queue(queue_settings.model_copy(update=changes), "test")

    return open_changed


@pytest.fixture
async def queue(open_test_queue: OpenTestQueue) -> AsyncIterator[Queue]:
    """An empty queue of three partitions, on one server and on a cluster in turn."""
    async with open_test_queue() as opened:
        yield opened
