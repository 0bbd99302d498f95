"""A TCP relay that can be told to delay what passes it towards a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

_CHUNK_BYTES = 64 * 1024


class Relay:
    """Passes connections on to one address; what clients send may be made to arrive late.

    Each piece is delayed by as much as was set when it came, and none overtakes another, as on a
    longer line: a delay costs no throughput.

    Attributes:
        delay_s: how long, in seconds; 0 for not at all.
        port: where it listens on loopback, once it is started.
    """

    def __init__(self, target: str) -> None:
        """Describes the relay; `start` starts it.

        Args:
            target: `host:port` that it passes everything on to.
        """
        self.delay_s = 0.0
        self.port = 0
        self._host, _, port = target.rpartition(":")
        self._target_port = int(port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening, and cuts all connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.closing(writer):
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            # Whoever is at the other end sees its connection end, as with a server that is gone;
            # and a cancelled one is told to nobody else.
            pass
        finally:
            self._connections.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(self._host, self._target_port)
        with contextlib.closing(forth):
            passing = [
                asyncio.create_task(self._delayed(reader, forth)),
                asyncio.create_task(_pass(back, _writes_to(writer))),
            ]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in passing:
                    each.cancel()
                await asyncio.gather(*passing, return_exceptions=True)

    async def _delayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def put(data: bytes) -> None:
            queue.put_nowait((loop.time() + self.delay_s, data))

        async def write() -> None:
            while True:
                due, data = await queue.get()
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                writer.write(data)
                await writer.drain()

        writing = asyncio.create_task(write())
        try:
            await _pass(reader, put)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, put: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        await put(data)


def _writes_to(writer: asyncio.StreamWriter) -> Callable[[bytes], Awaitable[None]]:
    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    return write
