"""Replicas of a hop: one that dies or is stopped under load costs next to nothing, and returns."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import grpc
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.client import AsyncClient, Prediction, PredictionError
from tailrace.client.values import Fields
from tests.support.mesh_fixtures import StartMesh
from tests.support.running_mesh import RunningMesh
from tests.support.waiting import wait_for

CALLERS = 16
MAX_ATTEMPTS = 2
CALLS_TOTAL = "tailrace_rpc_server_calls_total"
# The first step of this pipeline takes a while, so that a replica has something to lose.
FIELDS: Fields = {"x0": 1.0, "account": "account-1", "delay_ms": 5.0}


class Load:
    """Callers that ask one after the other until told to stop.

    Attributes:
        predictions: what came of the calls that were answered.
        errors: what came of the others.
    """

    def __init__(self, mesh: RunningMesh) -> None:
        self.predictions: list[Prediction] = []
        self.errors: list[PredictionError] = []
        self._mesh = mesh
        self._stopped = False

    async def __aenter__(self) -> Load:
        self._client = AsyncClient(self._mesh.target, timeout=30)
        self._callers = [asyncio.ensure_future(self._call()) for _ in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._callers)
        await self._client.close()

    async def _call(self) -> None:
        while not self._stopped:
            try:
                self.predictions.append(await self._client.predict("echo", FIELDS))
            except PredictionError as error:
                self.errors.append(error)

    async def goes_on(self) -> None:
        """Returns once every caller has been answered several times from now on."""
        enough = len(self.predictions) + 5 * CALLERS
        await until(lambda: len(self.predictions) >= enough)

    async def reaches(self, name: str) -> None:
        """Returns once a process has answered some more calls of it."""
        enough = self._mesh.metric(name, CALLS_TOTAL) + 10
        await until(lambda: self._mesh.metric(name, CALLS_TOTAL) >= enough)


async def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds; the callers go on meanwhile."""
    await asyncio.to_thread(wait_for, condition, 30)


@pytest.fixture
def mesh(
    start_mesh: StartMesh, redis_server: LocalRedis, triton_server: LocalTriton
) -> RunningMesh:
    """A mesh with two replicas of one hop."""
    settings = {"gateway": {"TAILRACE_MAX_ATTEMPTS": str(MAX_ATTEMPTS)}}
    return start_mesh(redis_server, triton_server, settings, replicas={"ingest": 2})


async def test_a_replica_killed_under_load_costs_at_most_what_was_in_flight_there(
    mesh: RunningMesh,
) -> None:
    async with Load(mesh) as load:
        await load.reaches("ingest")
        await load.reaches("ingest-2")
        assert not load.errors
        await asyncio.to_thread(mesh.processes["ingest"].kill)
        await load.goes_on()
        await load.reaches("ingest-2")
        # Back on the same port, from the main thread, as its life is tied to that of this one.
        mesh.processes["ingest"].launch()
        await asyncio.to_thread(mesh.processes["ingest"].wait_ready)
        await load.reaches("ingest")
    assert {error.code for error in load.errors} <= {grpc.StatusCode.UNAVAILABLE}
    assert len(load.errors) <= CALLERS
    attempts = [
        entry.attempts
        for prediction in load.predictions
        for entry in prediction.ledger.entries
        if entry.hop == "ingest"
    ]
    assert len(attempts) == len(load.predictions)
    assert set(attempts) <= set(range(1, MAX_ATTEMPTS + 1))
    # The last hops were not called again because the first one was.
    others = [entry.attempts for entry in load.predictions[-1].ledger.entries[1:]]
    assert set(others) == {1}


async def test_a_replica_stopped_under_load_costs_nothing(mesh: RunningMesh) -> None:
    async with Load(mesh) as load:
        await load.reaches("ingest")
        process = mesh.processes["ingest"].process
        process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
        await load.goes_on()
    assert load.errors == []
