"""The relay that makes the way to a hop slow."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from tailrace.loadtest.scenario.relay import Relay


@contextlib.asynccontextmanager
async def relayed_echo() -> AsyncIterator[Relay]:
    """Runs a server that sends back what it gets, behind a relay."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        relay = Relay(f"{host}:{port}")
        await relay.start()
        try:
            yield relay
        finally:
            await relay.stop()


async def test_everything_passes_in_order() -> None:
    sent = b"".join(number.to_bytes(4, "big") for number in range(200_000))
    async with relayed_echo() as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        with contextlib.closing(writer):
            writer.write(sent)
            assert await reader.readexactly(len(sent)) == sent


async def test_a_delay_holds_for_what_comes_while_it_is_set() -> None:
    async with relayed_echo() as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        with contextlib.closing(writer):
            relay.delay_s = 0.2
            began = time.monotonic()
            for _ in range(5):
                # Many at a time are late together, not one after the other.
                writer.write(b"late")
            assert await reader.readexactly(20) == b"late" * 5
            assert 0.2 <= time.monotonic() - began < 1.0
            relay.delay_s = 0.0
            writer.write(b"soon")
            assert await reader.readexactly(4) == b"soon"


async def test_its_end_cuts_connections() -> None:
    async with relayed_echo() as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        with contextlib.closing(writer):
            writer.write(b"here")
            assert await reader.readexactly(4) == b"here"
            await relay.stop()
            assert await reader.read() == b""


async def test_a_server_that_is_gone_ends_the_connection() -> None:
    # Nothing listens on port 1.
    relay = Relay("127.0.0.1:1")
    await relay.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        with contextlib.closing(writer):
            assert await reader.read() == b""
    finally:
        await relay.stop()
