"""Fixtures with a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import redis

from tailrace.cli.local.local_redis import LocalRedis


class StartRedis(Protocol):
    """Starts a Redis for one test and returns it ready; the arguments are `LocalRedis`'s."""

    def __call__(
        self,
        *,
        port: int = 0,
        data_dir: Path | None = None,
        append_only: bool = False,
        max_memory_bytes: int = 0,
        max_memory_policy: str = "noeviction",
    ) -> LocalRedis:
        """Returns a Redis that answers."""


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """A Redis that all tests share; use `fresh_redis` unless its content does not matter."""
    server = LocalRedis(log_path=tmp_path_factory.mktemp("redis") / "redis.log")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def fresh_redis(redis_server: LocalRedis) -> LocalRedis:
    """The shared Redis, emptied. A test that kills or fills its Redis wants `start_redis`."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    """Starts as many Redis servers as a test wants, to kill and to start again as it likes."""
    servers: list[LocalRedis] = []

    def start(
        *,
        port: int = 0,
        data_dir: Path | None = None,
        append_only: bool = False,
        max_memory_bytes: int = 0,
        max_memory_policy: str = "noeviction",
    ) -> LocalRedis:
        server = LocalRedis(
            log_path=tmp_path / f"redis-{len(servers)}.log",
            port=port,
            data_dir=data_dir,
            append_only=append_only,
            max_memory_bytes=max_memory_bytes,
            max_memory_policy=max_memory_policy,
        )
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
