"""Watchers of the health service, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.runtime.config import ServerSettings
from tailrace.runtime.server import GrpcServer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest_asyncio.fixture
async def server() -> AsyncIterator[GrpcServer]:
    """A server without services of its own, which would wait a minute for calls in flight."""
    server = GrpcServer(ServerSettings(drain_grace_ms=60_000), "test", (), lambda _: None)
    await server.start()
    yield server
    await server.drain()
    await server.close()


@pytest_asyncio.fixture
async def stub(server: GrpcServer) -> AsyncIterator[Any]:
    """A stub of its health service."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)


def _watch(stub: Any) -> Any:
    return stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)


async def _next(watch: Any) -> Any:
    return (await asyncio.wait_for(watch.read(), 30)).status


async def test_a_watcher_that_leaves_takes_nothing_from_the_others(
    server: GrpcServer, stub: Any
) -> None:
    stays, leaves = _watch(stub), _watch(stub)
    assert [await _next(stays), await _next(leaves)] == [NOT_SERVING, NOT_SERVING]
    leaves.cancel()
    # The server hears of it in its own time.
    for _ in range(20):
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)

    await server.set_serving(True)

    assert await _next(stays) == SERVING


async def test_a_watcher_does_not_hold_up_the_drain(server: GrpcServer, stub: Any) -> None:
    await server.set_serving(True)
    watch = _watch(stub)
    assert await _next(watch) == SERVING

    await asyncio.wait_for(server.drain(), 30)

    assert await _next(watch) == NOT_SERVING
    assert await asyncio.wait_for(watch.read(), 30) is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK
