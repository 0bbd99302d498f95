"""A way to a real Redis that takes as long as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tailrace.cli.local.local_redis import LocalRedis


class SlowRedis:
    """Passes bytes on between clients on a TCP port and a Redis, its answers with a delay.

    Attributes:
        delay_s: how long each piece of an answer is held back; may change at any time.
        port: where it listens on loopback.
    """

    def __init__(self, redis: LocalRedis) -> None:
        """Names the Redis; `running_slow_redis` runs it."""
        self.delay_s = 0.0
        self.port = 0
        self._redis = redis

    @property
    def url(self) -> str:
        """The URL of this way to the Redis."""
        return f"redis://127.0.0.1:{self.port}"

    async def listen(self) -> asyncio.Server:
        """Returns the server, once it listens."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._redis.socket_path is not None
        there, to_redis = await asyncio.open_unix_connection(str(self._redis.socket_path))
        ways = [
            asyncio.create_task(_pass_on(reader, to_redis)),
            asyncio.create_task(self._pass_back(there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_redis.close()
            writer.close()

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65_536):
            await asyncio.sleep(self.delay_s)
            writer.write(content)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(65_536):
        writer.write(content)


@contextlib.contextmanager
def running_slow_redis(redis: LocalRedis) -> Iterator[SlowRedis]:
    """Runs one on a thread of its own, without a delay at first."""
    slow = SlowRedis(redis)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(slow.listen())
    thread = threading.Thread(target=loop.run_forever, name="slow-redis")
    thread.start()

    async def end() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        yield slow
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
