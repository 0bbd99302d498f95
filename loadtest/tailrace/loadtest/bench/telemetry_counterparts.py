"""`python -m tailrace.loadtest.bench.telemetry_counterparts`: who takes telemetry, or lets it hang.

A process of its own, so that its CPU time is nobody else's. It tells its ports as a line of JSON,
takes a line that says whom to scrape, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from dataclasses import asdict, dataclass

_HOST = "127.0.0.1"
_STUCK_PER_PORT = 8
# After which the metrics port has given up whoever reads nothing.
_STUCK_S = 20.0
_SCRAPE = (
    "GET /metrics HTTP/1.1\r\nHost: bench\r\n"
    "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1\r\n"
    "{encoding}Connection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens.

    Attributes:
        takes: OTLP/HTTP, each request taken.
        hangs: OTLP/HTTP that accepts connections and does not answer.
        logs: TCP that accepts connections and does not read.
    """

    takes: int
    hangs: int
    logs: int


@dataclass(frozen=True, slots=True)
class Scrapes:
    """Whom to scrape.

    Attributes:
        every_s: ports by how often, in seconds.
        stuck: ports to which scrapers connect that never read.
    """

    every_s: list[tuple[float, list[int]]]
    stuck: list[int]


async def _take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Cancelled with the process, which asyncio's streams would tell as an error of their own.
    ends = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
    with contextlib.suppress(*ends), contextlib.closing(writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length:")[2].partition("\r\n")[0]
            await reader.readexactly(int(length or 0))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _scrape(port: int, every_s: float, first_s: float) -> None:
    request = _SCRAPE.format(encoding="Accept-Encoding: gzip\r\n").encode()
    loop = asyncio.get_running_loop()
    due_s = loop.time() + first_s
    while True:
        await asyncio.sleep(due_s - loop.time())
        due_s += every_s
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(_HOST, port)
            with contextlib.closing(writer):
                writer.write(request)
                await reader.read(-1)


async def _be_stuck(port: int) -> None:
    loop = asyncio.get_running_loop()
    request = _SCRAPE.format(encoding="").encode()
    while True:
        with socket.socket() as connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            # Else all of the answer would fit into it.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(connection, (_HOST, port))
            await loop.sock_sendall(connection, request)
            await asyncio.sleep(_STUCK_S)


async def _hold(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    held = []
    while True:
        held.append((await loop.sock_accept(listener))[0])


async def _run() -> None:
    receiver = await asyncio.start_server(_take, _HOST, 0)
    holders = [socket.create_server((_HOST, 0)) for _ in range(2)]
    for holder in holders:
        holder.setblocking(False)
    ports = [each.getsockname()[1] for each in (*receiver.sockets, *holders)]
    print(json.dumps(asdict(Ports(*ports))), flush=True)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_hold(holder)) for holder in holders]
        while line := await asyncio.to_thread(sys.stdin.readline):
            scrapes = Scrapes(**json.loads(line))
            for every_s, targets in scrapes.every_s:
                for place, port in enumerate(targets):
                    first_s = every_s * place / len(targets)
                    tasks.append(group.create_task(_scrape(port, every_s, first_s)))
            for port in scrapes.stuck:
                stuck = [group.create_task(_be_stuck(port)) for _ in range(_STUCK_PER_PORT)]
                tasks += stuck
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(_run())
