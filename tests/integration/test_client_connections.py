"""Connections of a client: as many as were asked for, and patient with a busy gateway."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc.aio
import pytest

from tailrace.client import AsyncClient, Client
from tailrace.runtime.channel import service_channel
from tailrace.runtime.config import TransportSettings
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.small_gateway import SmallGateway, small_gateway

CONNECTIONS = 16
# Far longer than gRPC waits between two attempts here, which is 100 ms.
BUSY_S = 1.0


async def test_an_async_client_opens_as_many_connections_as_were_asked_for() -> None:
    async with (
        small_gateway() as gateway,
        AsyncClient(gateway.target, connections=CONNECTIONS, timeout=30) as client,
    ):
        await asyncio.gather(*(client.predict("any", {}) for _ in range(3 * CONNECTIONS)))
        peers = [call.peer for call in gateway.seen]
    assert len(set(peers)) == CONNECTIONS
    assert {peers.count(peer) for peer in peers} == {3}


async def test_a_sync_client_opens_as_many_connections_as_were_asked_for() -> None:
    async with small_gateway() as gateway:

        def ask() -> None:
            with (
                Client(gateway.target, connections=CONNECTIONS, timeout=30) as client,
                ThreadPoolExecutor(4) as threads,
            ):
                for one in [
                    threads.submit(client.predict, "any", {}) for _ in range(3 * CONNECTIONS)
                ]:
                    one.result()

        await asyncio.to_thread(ask)
        peers = [call.peer for call in gateway.seen]
    assert len(set(peers)) == CONNECTIONS
    assert {peers.count(peer) for peer in peers} == {3}


@pytest.mark.parametrize("who", ["client", "service"])
async def test_a_server_that_is_slow_to_say_hello_is_waited_for(who: str) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(SmallGateway(), server)
    # It listens from here on, and answers from `start` on.
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    if who == "client":
        async with AsyncClient(target, timeout=30) as client:
            asked = asyncio.ensure_future(client.list_pipelines())
            assert not (await asyncio.wait([asked], timeout=BUSY_S))[0]
            await server.start()
            assert await asked == []
    else:
        async with service_channel(target, TransportSettings(), 1024 * 1024) as channel:
            ready = asyncio.ensure_future(channel.channel_ready())
            assert not (await asyncio.wait([ready], timeout=BUSY_S))[0]
            assert channel.get_state() is grpc.ChannelConnectivity.CONNECTING
            await server.start()
            await ready
    await server.stop(None)
