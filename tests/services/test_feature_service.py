"""The feature service as its own process: answers over gRPC, health, recovery, bad calls."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.features.app import SERVICE_NAME
from tailrace.runtime.errors import Code, Reason
from tailrace.v1 import feature_service_pb2 as pb
from tailrace.v1 import feature_service_pb2_grpc
from tests.support.feature_world import PREFIX, FeatureWorld, MakeWorld, view
from tests.support.redis_fixtures import StartRedis
from tests.support.wire_batches import answer_from_proto, batch_to_proto

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
VIEWS = (
    view("thing", {"a": "float64", "text": "string"}, on_missing="flag", max_age="30s"),
    view("strict", {"b": "int64"}, on_missing="fail"),
)


class Service:
    """A feature service process and a channel to it."""

    def __init__(self, process: MeshProcess, world: FeatureWorld) -> None:
        self.process = process
        self.world = world
        self.channel = grpc.aio.insecure_channel(process.target)
        self.stub = feature_service_pb2_grpc.FeatureServiceStub(self.channel)
        self.health_stub: Any = health_pb2_grpc.HealthStub(self.channel)

    async def health(self, name: str = "") -> int:
        request = health_pb2.HealthCheckRequest(service=name)
        answer: health_pb2.HealthCheckResponse = await self.health_stub.Check(request, timeout=5)
        return answer.status

    async def until(self, status: int, timeout_s: float = 10.0) -> float:
        """Returns the seconds until health said `status`, by its watch stream."""
        began = time.monotonic()
        request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        async for answer in self.health_stub.Watch(request, timeout=timeout_s):
            if answer.status == status:
                return time.monotonic() - began
        raise AssertionError(f"health never said {status}")

    async def look_up(
        self, keys: dict[str, list[Any]], *, timeout_s: float = 5.0
    ) -> pb.LookupFeaturesResponse:
        batch = batch_to_proto(self.world.batch(keys, deadline_ms=timeout_s * 1000))
        request = pb.LookupFeaturesRequest(batch=batch)
        return await self.stub.LookupFeatures(request, timeout=timeout_s)


class StartService:
    def __init__(self, run_dir: Path, make_world: MakeWorld) -> None:
        self._run_dir = run_dir
        self._make_world = make_world
        self.services: list[Service] = []

    def __call__(self, server: LocalRedis, **settings: str) -> Service:
        world = self._make_world(*VIEWS, server=server)
        environment = {
            "TAILRACE_FEATURE_REDIS_URL": server.url,
            "TAILRACE_FEATURE_KEY_PREFIX": PREFIX,
            "TAILRACE_PIPELINES_DIR": str(world.pipelines_dir),
            **settings,
        }
        process = MeshProcess("features", run_dir=self._run_dir, settings=environment)
        process.start()
        self.services.append(Service(process, world))
        return self.services[-1]


@pytest_asyncio.fixture
async def start_service(tmp_path: Path, make_world: MakeWorld) -> AsyncIterator[StartService]:
    start = StartService(tmp_path, make_world)
    yield start
    for service in start.services:
        await service.channel.close()
        service.process.stop()


async def test_lookups_over_grpc_return_columns_states_and_ages(
    start_service: StartService, fresh_redis: LocalRedis
) -> None:
    service = start_service(fresh_redis)
    now_us = time.time_ns() // 1000
    at = [now_us - 500_000, now_us - 60_000_000]
    table = {"id": ["x", "y"], "a": [1.5, 2.5], "text": ["ü", ""], "at": at}
    await service.world.load("thing", table, timestamp_column="at")
    await service.world.load("strict", {"id": ["x", "y"], "b": [2**62, 2]})
    await service.until(SERVING)
    keys = {"thing.id": ["x", "y", "z", "x"], "strict.id": ["x", "y", "y", "z"]}
    answer = await service.look_up(keys)
    batch = answer_from_proto(answer.batch)
    assert [(row, error.code) for row, error in batch.rows.failures.items()] == [
        (3, Code.NOT_FOUND)
    ]
    assert batch.rows.failures[3].reason is Reason.ENTITY_NOT_FOUND
    assert batch.columns["thing.a"][:3].tolist() == [1.5, 2.5, 0.0]
    assert batch.columns["thing.text"][:3].tolist() == ["ü", "", ""]
    assert batch.columns["thing.missing"][:3].tolist() == [False, False, True]
    assert batch.columns["strict.b"][:3].tolist() == [2**62, 2, 2]
    thing, strict = answer.views
    assert (thing.view, strict.view) == ("thing", "strict")
    states = [pb.FEATURE_STATE_FRESH, pb.FEATURE_STATE_STALE, pb.FEATURE_STATE_MISSING, 0]
    assert list(thing.states) == states
    ages_us = np.frombuffer(thing.age_us, "<i8").tolist()
    assert 500_000 <= ages_us[0] < 30_000_000
    assert 60_000_000 <= ages_us[1] < 90_000_000
    assert ages_us[2:] == [-1, -1]
    # a and text of x, y, z, which is missing, and the row that failed.
    assert list(thing.presence) == [1, 1, 0, 0] * 2
    assert list(strict.presence) == [1, 1, 1, 0]
    assert not thing.element_states
    assert answer.timing.work_ns > 0
    assert (len(batch.rows), len(answer.batch.rows.request_ids)) == (4, 0)


async def test_presence_is_empty_where_the_store_has_every_value(
    start_service: StartService, fresh_redis: LocalRedis
) -> None:
    service = start_service(fresh_redis)
    await service.world.load("thing", {"id": ["x"], "a": [1.5], "text": ["ü"]})
    await service.world.load("strict", {"id": ["x"], "b": [1]})
    await service.until(SERVING)
    answer = await service.look_up({"thing.id": ["x"], "strict.id": ["x"]})
    assert [view.presence for view in answer.views] == [b"", b""]


async def test_it_starts_without_redis_and_recovers_by_itself(
    start_service: StartService, start_redis: StartRedis
) -> None:
    server = start_redis()
    server.kill()
    service = start_service(server)
    assert await service.health() == NOT_SERVING
    assert await service.health(SERVICE_NAME) == NOT_SERVING
    keys = {"thing.id": ["x"], "strict.id": ["x"]}
    # Long before its deadline.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.look_up(keys)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) == "FEATURE_STORE_UNAVAILABLE"
    server.start()
    assert await service.until(SERVING) < 2
    await service.world.load("strict", {"id": ["x"], "b": [1]})
    assert not (await service.look_up(keys)).batch.rows.errors
    server.kill()
    assert await service.until(NOT_SERVING) < 2
    server.start()
    assert await service.until(SERVING) < 2
    await service.world.load("strict", {"id": ["x"], "b": [1]})
    assert not (await service.look_up(keys)).batch.rows.errors


async def test_lookups_go_on_while_a_view_is_loaded_again(
    start_service: StartService, fresh_redis: LocalRedis
) -> None:
    service = start_service(fresh_redis)
    ids = [f"k{n}" for n in range(3000)]
    await service.world.load("strict", {"id": ids, "b": [0] * len(ids)})
    await service.until(SERVING)
    loading = True

    async def look_up() -> set[int]:
        seen: set[int] = set()
        while loading:
            answer = await service.look_up({"thing.id": [None] * 64, "strict.id": ids[::47]})
            assert not answer.batch.rows.errors
            (value,) = set(answer_from_proto(answer.batch).columns["strict.b"].tolist())
            seen.add(value)
        return seen

    readers = [asyncio.create_task(look_up()) for _ in range(4)]
    for generation in range(1, 6):
        await service.world.load("strict", {"id": ids, "b": [generation] * len(ids)})
    loading = False
    seen = set.union(*await asyncio.gather(*readers))
    assert len(seen) > 1


async def test_a_call_with_too_many_keys_or_none_is_invalid(
    start_service: StartService, fresh_redis: LocalRedis
) -> None:
    service = start_service(fresh_redis, TAILRACE_MAX_KEYS_PER_LOOKUP="10")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.look_up({"thing.id": ["x"] * 6, "strict.id": ["x"] * 6})
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) == "LIMIT_EXCEEDED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.look_up({"thing.id": ["x"]})
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) == "INVALID_BATCH"


async def test_what_lookups_find_is_counted(
    start_service: StartService, fresh_redis: LocalRedis
) -> None:
    service = start_service(fresh_redis)
    await service.world.load("strict", {"id": ["x"], "b": [1]})
    await service.until(SERVING)
    await service.look_up({"thing.id": ["x", "x"], "strict.id": ["x", "y"]})
    url = f"http://127.0.0.1:{service.process.metrics_port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
    for view_name, state in (("strict", "fresh"), ("strict", "missing")):
        found = f'{{pipeline="p",state="{state}",view="{view_name}"}} 1.0'
        assert f"tailrace_feature_rows_total{found}" in text
    not_loaded = '{pipeline="p",state="not_loaded",view="thing"} 2.0'
    assert f"tailrace_feature_rows_total{not_loaded}" in text
    failures = 'tailrace_row_failures_total{hop="features",reason="ENTITY_NOT_FOUND"} 1.0'
    assert failures in text


async def test_an_unusable_redis_url_stops_the_start_with_its_setting(
    tmp_path: Path, fresh_redis: LocalRedis, make_world: MakeWorld
) -> None:
    world = make_world(*VIEWS)
    settings = {
        "TAILRACE_FEATURE_REDIS_URL": "http://user:hidden@nowhere",
        "TAILRACE_PIPELINES_DIR": str(world.pipelines_dir),
    }
    process = MeshProcess("features", run_dir=tmp_path, settings=settings)
    with pytest.raises(Exception, match="TAILRACE_FEATURE_REDIS_URL cannot be used") as caught:
        process.start()
    process.stop()
    assert "hidden" not in str(caught.value)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            info = error_details_pb2.ErrorInfo()
            assert status.details[0].Unpack(info)
            return info.reason
    raise AssertionError("no status details")
