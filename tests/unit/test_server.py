"""The port of a process: those who say nothing on it, and those who come all at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tailrace.runtime import server as server_module
from tailrace.runtime.config import ServerSettings
from tailrace.runtime.server import GrpcServer


@pytest.mark.parametrize("said", [b"", b"PRI"])
async def test_who_connects_and_says_nothing_is_let_go(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_TIMEOUT_MS", 500)
    server = GrpcServer(ServerSettings(drain_grace_ms=60_000), "test", (), lambda _: None)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(said)

    try:
        # gRPC's own patience is two minutes. What comes before the end is its greeting.
        await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
        await asyncio.wait_for(server.drain(), 30)
        await server.close()


async def test_a_burst_is_taken_in_whole_by_a_busy_process() -> None:
    server = GrpcServer(ServerSettings(), "test", (), lambda _: None)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        await channel.channel_ready()
        calls = [stub.Check(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(4000)]
        waiting = asyncio.gather(*(call.code() for call in calls))
        for _ in range(300):
            time.sleep(0.002)  # noqa: ASYNC251  # work that keeps the loop busy
            await asyncio.sleep(0)
        assert set(await waiting) == {grpc.StatusCode.OK}
    await server.drain()
    await server.close()
