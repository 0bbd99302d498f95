"""The port of a process, and those who connect to it only to say nothing."""

from __future__ import annotations

import asyncio

import pytest

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
        await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        await asyncio.wait_for(server.drain(), 20)
        await server.close()
