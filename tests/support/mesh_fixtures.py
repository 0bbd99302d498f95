"""Fixtures with a whole running mesh."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import grpc.aio
import pytest
import pytest_asyncio

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.feature_loading import load_file
from tests.support.running_mesh import FILES_DIR, RunningMesh

# Accounts that the shared mesh knows in both views: (key, a, b).
ACCOUNTS = (("account-1", 3.0, 4.0), ("account-2", 5.0, 6.0))


class StartMesh(Protocol):
    """Starts a mesh for one test; the arguments are `RunningMesh`'s."""

    def __call__(
        self,
        redis: LocalRedis,
        triton: LocalTriton,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        files: Path | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        placement: str = "remote",
        workers: int = 1,
        replicas: Mapping[str, int] | None = None,
    ) -> RunningMesh:
        """Returns a mesh that serves, its features loaded."""


def load_accounts(
    redis: LocalRedis,
    views_dir: Path,
    folder: Path,
    accounts: Iterable[tuple[str, float, float]] = ACCOUNTS,
) -> None:
    """Loads accounts into both test views, by the real loader."""
    file = folder / "accounts.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["account_id", "a", "b"])
        writer.writerows(accounts)

    async def load() -> None:
        for view in ("account", "ledger"):
            await load_file(file, views_dir / f"{view}.yaml", redis.url)

    # In a thread, as an async test that starts a mesh has a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, load()).result()


@pytest.fixture(scope="session")
def mesh(
    triton_server: LocalTriton,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningMesh]:
    """A mesh that all tests share, and that none may stop or change. Its Redis is its own."""
    run_dir = tmp_path_factory.mktemp("mesh")
    redis = LocalRedis(log_path=run_dir / "redis.log")
    running: RunningMesh | None = None
    try:
        redis.start()
        running = RunningMesh(redis, triton_server, run_dir)
        load_accounts(redis, running.files / "features", run_dir)
        running.start()
        yield running
    finally:
        if running is not None:
            running.kill()
        redis.stop()


@pytest.fixture
def start_mesh(tmp_path: Path) -> Iterator[StartMesh]:
    """Starts meshes to kill and to change as a test likes."""
    yield from _starter(tmp_path)


@pytest.fixture(scope="module")
def start_module_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartMesh]:
    """Starts meshes that the tests of a module share, and leave as they found them."""
    yield from _starter(tmp_path_factory.mktemp("module"))


def _starter(tmp_path: Path) -> Iterator[StartMesh]:
    meshes: list[RunningMesh] = []

    def start(
        redis: LocalRedis,
        triton: LocalTriton,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        files: Path | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        placement: str = "remote",
        workers: int = 1,
        replicas: Mapping[str, int] | None = None,
    ) -> RunningMesh:
        run_dir = tmp_path / f"mesh-{len(meshes)}"
        run_dir.mkdir()
        running = RunningMesh(
            redis,
            triton,
            run_dir,
            settings,
            files or FILES_DIR,
            credentials,
            placement,
            workers,
            replicas,
        )
        meshes.append(running)
        load_accounts(redis, running.files / "features", run_dir)
        running.start()
        return running

    yield start
    for running in meshes:
        running.kill()


@pytest_asyncio.fixture
async def predictions(
    mesh: RunningMesh,
) -> AsyncIterator[prediction_service_pb2_grpc.PredictionServiceAsyncStub]:
    """A stub of the shared mesh's `PredictionService`."""
    async with grpc.aio.insecure_channel(mesh.target) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
