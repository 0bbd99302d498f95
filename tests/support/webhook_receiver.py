"""Webhook endpoints on loopback, well-behaved and otherwise, that keep what they were sent."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

Answer = web.Response
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebhookReceiver:
    """Answers with what `answer` says, 204 by default, and keeps every request.

    Attributes:
        port: where it listens, on 127.0.0.1 unless said otherwise.
        requests: what came, oldest first.
        connections: how many were opened.
    """

    answer: Callable[[Received], Answer] = lambda _: web.Response(status=204)
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int, timeout_s: float = 20.0) -> None:
        """Returns once so many requests have come."""
        async with asyncio.timeout(timeout_s), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        received = Received(request.raw_path, dict(request.headers), await request.read())
        async with self.arrived:
            self.requests.append(received)
            self.arrived.notify_all()
        return self.answer(received)


@contextlib.asynccontextmanager
async def webhook_receiver(
    answer: Callable[[Received], Answer] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[WebhookReceiver]:
    """Runs one on this loop."""
    receiver = WebhookReceiver() if answer is None else WebhookReceiver(answer)
    server = web.Server(receiver._handle)

    def connected() -> asyncio.BaseProtocol:
        receiver.connections += 1
        return server()

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(connected, host, port, ssl=tls)
    receiver.port = listener.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        listener.close()
        await server.shutdown(0.1)
        await listener.wait_closed()


@dataclass
class RawServer:
    """A server that does with each connection whatever it likes."""

    port: int = 0
    connections: int = 0
    bytes_sent: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def raw_server(
    respond: Callable[[RawServer, asyncio.StreamWriter], Awaitable[None]],
    *,
    host: str = "127.0.0.1",
) -> AsyncIterator[RawServer]:
    """Runs one on this loop; `respond` is called once the head of a request has come."""
    state = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await respond(state, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has closed, as it may; or the test is over
        finally:
            state.closed.set()
            writer.close()
            tasks.discard(task)

    listener = await asyncio.start_server(serve, host, 0)
    state.port = listener.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def hang(server: RawServer, writer: asyncio.StreamWriter) -> None:
    """Says nothing."""
    await asyncio.Event().wait()


async def drip(server: RawServer, writer: asyncio.StreamWriter) -> None:
    """Sends the head of an answer byte by byte, and never comes to its end."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        server.bytes_sent += 1
        await asyncio.sleep(0.02)


async def drip_body(server: RawServer, writer: asyncio.StreamWriter) -> None:
    """Confirms, and then sends a body byte by byte."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"a")
        await writer.drain()
        server.bytes_sent += 1
        await asyncio.sleep(0.02)


async def send_a_gigabyte(server: RawServer, writer: asyncio.StreamWriter) -> None:
    """Confirms, and then sends a gigabyte."""
    size = 1 << 30
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    chunk = b"a" * (1 << 16)
    while server.bytes_sent < size:
        writer.write(chunk)
        await writer.drain()
        server.bytes_sent += len(chunk)
