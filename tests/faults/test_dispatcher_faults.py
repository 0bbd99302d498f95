"""Dispatchers, hops and queue that die, hang and come back while submissions are under way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import State, StoredPrediction
from tailrace.v1 import prediction_service_pb2
from tests.support.dispatch_mesh import (
    FATAL,
    LEASE_MS,
    DispatchMesh,
    ended,
    in_state,
    predict_request,
    stored,
    submit,
)
from tests.support.redis_fixtures import StartRedis
from tests.support.waiting import wait_for

# Of x0 from 0 to 4, for an account that there is not.
ECHO_SCORES = [-2100.0, -2099.0, -2098.0, -2097.0, -2096.0]
ATTEMPTS = {"TAILRACE_DISPATCHER_MAX_ATTEMPTS": "2"}


@pytest.fixture
def make_mesh(
    tmp_path: Path, redis_server: LocalRedis, start_redis: StartRedis
) -> Iterator[MakeMesh]:
    """Describes a mesh, with a queue of its own."""
    made = MakeMesh(tmp_path, redis_server, start_redis)
    yield made
    for mesh in made.meshes:
        mesh.kill()


class MakeMesh:
    """Describes meshes."""

    def __init__(self, folder: Path, features: LocalRedis, start_redis: StartRedis) -> None:
        self.meshes: list[DispatchMesh] = []
        self._folder = folder
        self._features = features
        self._start_redis = start_redis

    def __call__(self, placement: str) -> DispatchMesh:
        queue_redis = self._start_redis(append_only=True, data_dir=self._folder)
        mesh = DispatchMesh(self._folder, self._features, queue_redis, placement, ATTEMPTS)
        self.meshes.append(mesh)
        return mesh


@asynccontextmanager
async def _kept_running(mesh: DispatchMesh, name: str) -> AsyncIterator[list[int]]:
    """Starts a process again whenever it has ended; yields the exit statuses so far."""
    statuses: list[int] = []

    async def watch() -> None:
        process = mesh.processes[name]
        while True:
            status = process.process.exit_status
            if status is not None:
                statuses.append(status)
                process.launch()
                await asyncio.to_thread(process.wait_ready)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield statuses
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _answers(queue: Queue) -> None:
    """Returns once the queue can be asked."""
    async with asyncio.timeout(30):
        while True:
            try:
                await queue.submissions.now_ms()
            except QueueUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


def _score(prediction: StoredPrediction) -> float:
    assert prediction.state is State.SUCCEEDED, prediction
    answer = prediction_service_pb2.PredictResponse.FromString(prediction.outcome)
    return answer.prediction["score"].double_value


def _is_poison(prediction: StoredPrediction) -> None:
    assert (prediction.state, prediction.dead_reason) == (State.FAILED, "POISON")
    status = status_pb2.Status.FromString(prediction.outcome)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, info.reason) == (code_pb2.INTERNAL, "POISON")


async def _all_right(queue: Queue, ids: Sequence[str], timeout_s: float = 60) -> None:
    """Every one has its own answer."""
    for number, prediction in enumerate(await ended(queue, ids, timeout_s)):
        assert _score(prediction) == number * 1111


def _requests(count: int) -> list[prediction_service_pb2.PredictRequest]:
    return [predict_request("fatal", x0=float(number)) for number in range(count)]


async def test_what_runs_while_a_hop_is_down_runs_again_until_it_is_back(
    make_mesh: MakeMesh,
) -> None:
    mesh = make_mesh("remote")
    mesh.start_hops()
    mesh.start("dispatcher")
    async with mesh.queue() as queue:
        await _all_right(queue, await submit(queue, _requests(5)))
        mesh.processes["ingest"].kill()
        ids = await submit(queue, _requests(400))
        wait_for(lambda: mesh.metric("dispatcher", names.DISPATCHER_POSTPONED_TOTAL) > 10)
        found = await stored(queue, ids)
        # Nothing has failed, and only what asks whether the hop is back has been tried.
        assert {each.state for each in found} <= {State.QUEUED, State.RUNNING}
        assert mesh.metric("dispatcher", names.DISPATCHER_BREAKER_OPEN) == 1
        assert sum(each.run_attempts > 0 for each in found) < 350
        mesh.start("ingest")
        await _all_right(queue, ids)
        assert mesh.metric("dispatcher", names.DISPATCHER_BREAKER_OPEN) == 0


async def test_what_is_past_its_time_expires_though_the_hops_have_never_been_there(
    make_mesh: MakeMesh,
) -> None:
    mesh = make_mesh("remote")
    mesh.start("dispatcher")
    async with mesh.queue() as queue:
        soon_ms = await queue.submissions.now_ms() + 3000
        ids = await submit(queue, _requests(5), not_after_ms=soon_ms)
        assert {each.state for each in await ended(queue, ids)} == {State.EXPIRED}
        assert mesh.health("dispatcher") == "NOT_SERVING"


async def test_what_kills_its_hop_is_a_dead_letter_and_its_neighbours_succeed(
    make_mesh: MakeMesh,
) -> None:
    mesh = make_mesh("remote")
    mesh.start_hops()
    mesh.start("dispatcher")
    requests = _requests(60)
    async with mesh.queue() as queue, _kept_running(mesh, "ingest") as statuses:
        poison = await submit(queue, [predict_request("fatal", x0=FATAL)])
        ids = await submit(queue, requests)
        await _all_right(queue, ids)
        _is_poison((await ended(queue, poison, 60))[0])
        assert set(statuses) == {-signal.SIGKILL}
        # Once with others, twice on the way to being alone, and the times that it may.
        assert len(statuses) <= 3 + int(*ATTEMPTS.values())


async def test_what_kills_its_dispatcher_is_a_dead_letter_and_its_neighbours_succeed(
    make_mesh: MakeMesh,
) -> None:
    mesh = make_mesh("local")
    mesh.start("dispatcher")
    async with mesh.queue() as queue, _kept_running(mesh, "dispatcher") as statuses:
        requests = _requests(60)
        poison = await submit(queue, [*requests[:30], predict_request("fatal", x0=FATAL)])
        ids = poison[:30] + await submit(queue, requests[30:])
        await _all_right(queue, ids)
        _is_poison((await ended(queue, poison[30:], 60))[0])
        assert statuses == [-signal.SIGKILL] * int(*ATTEMPTS.values())
        # Redriven, it is a new start.
        assert await queue.submissions.redrive(poison[30:]) == [True]
        (again,) = await ended(queue, poison[30:], 60)
        _is_poison(again)


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_a_dispatcher_leaves_behind_another_takes_over_and_writes_alone(
    make_mesh: MakeMesh, death: signal.Signals
) -> None:
    mesh = make_mesh("local")
    delay_ms = 300.0
    async with mesh.queue() as queue:
        requests = [predict_request("echo", x0=float(n), delay_ms=delay_ms) for n in range(5)]
        ids = await submit(queue, requests)
        first = mesh.start("dispatcher", "first")
        await in_state(queue, ids, State.RUNNING)
        # Stopped for longer than its lease; or for good.
        first.process.signal(death)
        mesh.start("dispatcher", "second")
        before = await ended(queue, ids)
        assert [_score(each) for each in before] == ECHO_SCORES
        assert mesh.metric("second", names.DISPATCHER_RESULTS_TOTAL) == len(ids)
        if death is signal.SIGKILL:
            return
        first.process.signal(signal.SIGCONT)
        wait_for(lambda: mesh.metric("first", names.DISPATCHER_FENCED_TOTAL) >= len(ids))
        assert "claims are no longer ours" in mesh.log("first")
        # Nothing of what it had, or did with it, has reached the queue.
        assert mesh.metric("first", names.DISPATCHER_RESULTS_TOTAL) == 0
        assert await stored(queue, ids) == before


async def test_results_wait_for_a_queue_that_is_away_and_none_is_lost(
    make_mesh: MakeMesh,
) -> None:
    mesh = make_mesh("local")
    delay_ms = LEASE_MS / 2
    async with mesh.queue() as queue:
        dispatcher = mesh.start("dispatcher")
        requests = [predict_request("echo", x0=float(n), delay_ms=delay_ms) for n in range(5)]
        ids = await submit(queue, requests)
        await in_state(queue, ids, State.RUNNING)
        assert isinstance(mesh.queue_redis, LocalRedis)
        mesh.queue_redis.process.kill()
        wait_for(lambda: mesh.health("dispatcher") == "NOT_SERVING")
        wait_for(lambda: "results wait for the queue" in mesh.log("dispatcher"))
        mesh.queue_redis.start()
        await _answers(queue)
        assert [_score(each) for each in await ended(queue, ids)] == ECHO_SCORES
        assert dispatcher.process.running
        wait_for(lambda: mesh.health("dispatcher") == "SERVING")
        await _all_right(queue, await submit(queue, _requests(5)))
