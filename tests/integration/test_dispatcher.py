"""Submissions through a dispatcher: a process of its own, with a real queue and real hops."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.runtime import telemetry_names as names
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import State, StoredPrediction
from tailrace.v1 import prediction_service_pb2, prediction_service_pb2_grpc
from tests.support.dispatch_mesh import (
    LEASE_MS,
    PARTITIONS,
    DispatchMesh,
    ended,
    in_state,
    predict_request,
    stored,
    submit,
)
from tests.support.redis_cluster import LocalCluster
from tests.support.waiting import wait_for


@pytest.fixture
def local_mesh(
    tmp_path: Path, redis_server: LocalRedis, queue_redis: LocalRedis
) -> Iterator[DispatchMesh]:
    """A dispatcher's surroundings, with all hops inside it."""
    mesh = DispatchMesh(tmp_path, redis_server, queue_redis, "local")
    yield mesh
    mesh.kill()


def _answer(prediction: StoredPrediction) -> prediction_service_pb2.PredictResponse:
    assert prediction.state is State.SUCCEEDED, prediction
    return prediction_service_pb2.PredictResponse.FromString(prediction.outcome)


def _reason(prediction: StoredPrediction) -> str:
    status = status_pb2.Status.FromString(prediction.outcome)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


async def test_results_are_those_of_the_gateway(local_mesh: DispatchMesh) -> None:
    requests = [predict_request("echo", f"r-{n}", x0=n, x1=2.0) for n in range(40)]
    requests[7].fields["account"].string_value = "account-1"
    requests[8].fields["account"].string_value = "nobody"
    requests[9].fields["x1"].double_value = 5_000.0
    requests[10].fields["unknown"].double_value = 1.0
    requests[11].pipeline = "ecko"
    local_mesh.start("dispatcher")
    gateway = local_mesh.start("gateway")
    async with local_mesh.queue() as queue:
        ids = await submit(queue, requests[:20])
        ids += await submit(queue, requests[20:], partition=1)
        found = await ended(queue, ids)
    async with grpc.aio.insecure_channel(gateway.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        batch = prediction_service_pb2.PredictBatchRequest(requests=requests)
        synchronous = (await stub.PredictBatch(batch, timeout=10)).results

    for prediction, expected in zip(found, synchronous, strict=True):
        if expected.HasField("error"):
            assert prediction.state is State.FAILED
            stored = status_pb2.Status.FromString(prediction.outcome)
            assert _without_trace(stored) == _without_trace(expected.error)
            continue
        answer = _answer(prediction)
        assert answer.ledger.total_ns > 0
        answer.ClearField("ledger")
        expected.response.ClearField("ledger")
        assert answer == expected.response
    failed = {place for place, prediction in enumerate(found) if prediction.state is State.FAILED}
    assert failed == {9, 10, 11}
    assert _reason(found[11]) == "PIPELINE_NOT_FOUND"
    assert _answer(found[7]).prediction["score"].double_value == 7 + 20 + 300 + 4000


def _without_trace(status: status_pb2.Status) -> list[Any]:
    """The code, the message and the details, but for the trace that each request has for itself."""
    details = []
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            info.metadata.pop("trace_id", None)
            detail.Pack(info, deterministic=True)
        details.append(detail)
    return [status.code, status.message, details]


async def test_a_pipeline_that_has_just_come_is_found(local_mesh: DispatchMesh) -> None:
    local_mesh.start("dispatcher", pipelines_poll_ms="3600000")
    folder = Path(local_mesh.settings["TAILRACE_PIPELINES_DIR"])
    text = (folder / "fatal.yaml").read_text().replace("pipeline: fatal", "pipeline: late")
    (folder / "late.yaml").write_text(text)
    async with local_mesh.queue() as queue:
        (found,) = await ended(queue, await submit(queue, [predict_request("late", x0=2.0)]))
    assert _answer(found).prediction["score"].double_value == 2 * 1111


async def test_the_more_important_are_claimed_first(local_mesh: DispatchMesh) -> None:
    async with local_mesh.queue() as queue:
        ids: dict[int, list[str]] = {}
        for priority in (4, 3, 2, 1):
            requests = [predict_request("fatal", x0=1.0) for _ in range(3)]
            ids[priority] = await submit(queue, requests, priority=priority)
        local_mesh.start("dispatcher", dispatcher_max_rows="1", dispatcher_max_in_flight="1")
        await ended(queue, sum(ids.values(), []))
        begun = {
            priority: [each.started_ms or 0 for each in await stored(queue, ids[priority])]
            for priority in ids
        }
    for priority in (1, 2, 3):
        assert max(begun[priority]) <= min(begun[priority + 1])


async def _drained(
    mesh: DispatchMesh, queue: Queue, requests: int, delay_ms: float
) -> list[StoredPrediction]:
    """Ends a dispatcher in the middle of its work; returns how the submissions are then."""
    ids = await submit(
        queue, [predict_request("echo", x0=1.0, delay_ms=delay_ms) for _ in range(requests)]
    )
    dispatcher = mesh.start("dispatcher")
    await in_state(queue, ids, State.RUNNING)
    dispatcher.process.signal(signal.SIGTERM)
    wait_for(lambda: not dispatcher.process.running)
    assert dispatcher.process.exit_status == 0, mesh.log("dispatcher")
    return await stored(queue, ids)


async def test_on_sigterm_what_runs_is_finished(local_mesh: DispatchMesh) -> None:
    async with local_mesh.queue() as queue:
        found = await _drained(local_mesh, queue, 20, delay_ms=1_000.0)
        assert {each.state for each in found} <= {State.SUCCEEDED, State.QUEUED}
        assert State.SUCCEEDED in {each.state for each in found}


async def test_on_sigterm_what_is_not_finished_within_the_grace_is_given_back(
    tmp_path: Path, redis_server: LocalRedis, queue_redis: LocalRedis
) -> None:
    mesh = DispatchMesh(
        tmp_path,
        redis_server,
        queue_redis,
        "remote",
        {"TAILRACE_DRAIN_GRACE_MS": "4000", "TAILRACE_DISPATCHER_LEASE_MS": "60000"},
    )
    try:
        mesh.start_hops()
        async with mesh.queue() as queue:
            found = await _drained(mesh, queue, 20, delay_ms=6_000.0)
            assert {each.state for each in found} == {State.QUEUED}
            lines = [json.loads(line) for line in mesh.log("dispatcher").splitlines()]
            assert not [line for line in lines if "could not be given back" in line["message"]]
            # Whoever is next need not wait for any lease.
            mesh.start("dispatcher")
            ended_well = await ended(queue, [each.prediction_id for each in found])
    finally:
        mesh.kill()
    assert {each.state for each in ended_well} == {State.SUCCEEDED}
    assert {each.run_attempts for each in ended_well} == {2}


async def test_a_run_that_outlasts_its_lease_stays_with_its_dispatcher(
    tmp_path: Path, redis_server: LocalRedis, queue_redis: LocalRedis
) -> None:
    # In a service of its own, the slow step holds up no renewals.
    mesh = DispatchMesh(tmp_path, redis_server, queue_redis, "remote")
    try:
        mesh.start_hops()
        for name in ("first", "second"):
            mesh.start("dispatcher", name)
        async with mesh.queue() as queue:
            requests = [predict_request("echo", x0=1.0, delay_ms=3.0 * LEASE_MS)]
            (found,) = await ended(queue, await submit(queue, requests))
        fenced = [mesh.metric(name, names.DISPATCHER_FENCED_TOTAL) for name in ("first", "second")]
    finally:
        mesh.kill()
    assert (found.state, found.run_attempts, fenced) == (State.SUCCEEDED, 1, [0, 0])


async def test_metrics_tell_of_claims_results_and_the_queue(local_mesh: DispatchMesh) -> None:
    local_mesh.start("dispatcher")
    async with local_mesh.queue() as queue:
        requests = [predict_request("fatal", x0=1.0) for _ in range(9)]
        await ended(queue, await submit(queue, [*requests, predict_request("none")]))
        held = {
            (("partition", "0"), ("state", "SUCCEEDED")): 9,
            (("partition", "0"), ("state", "FAILED")): 1,
        }
        wait_for(
            lambda: (
                held.items()
                <= local_mesh.metrics("dispatcher").get(names.QUEUE_SUBMISSIONS, {}).items()
            ),
            20,
        )
    metrics = local_mesh.metrics("dispatcher")
    claims = metrics[names.DISPATCHER_CLAIMS_TOTAL]
    assert claims == {(): 10}
    results = metrics[names.DISPATCHER_RESULTS_TOTAL]
    assert results == {(("state", "SUCCEEDED"),): 9, (("state", "FAILED"),): 1}
    assert 1 <= metrics[names.DISPATCHER_BATCHES_LIMIT][()] <= 4
    assert metrics[f"{names.DISPATCHER_BATCH_ROWS}_sum"] == {(): 10}


async def test_a_dispatcher_serves_while_the_queue_answers_and_works_on_a_cluster(
    tmp_path: Path, redis_server: LocalRedis, queue_cluster: LocalCluster
) -> None:
    mesh = DispatchMesh(tmp_path, redis_server, queue_cluster, "local")
    try:
        mesh.start("dispatcher")
        wait_for(lambda: mesh.health("dispatcher") == "SERVING")
        async with mesh.queue() as queue:
            ids = []
            for partition in range(PARTITIONS):
                requests = [predict_request("fatal", x0=float(n)) for n in range(300)]
                ids += await submit(queue, requests, partition)
            found = await ended(queue, ids)
    finally:
        mesh.kill()
    scores = [_answer(each).prediction["score"].double_value for each in found]
    assert scores == [n * 1111 for n in range(300)] * PARTITIONS
