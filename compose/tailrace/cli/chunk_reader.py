"""Reads a file or a pipe beside an event loop, as much at a time as there is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncIterator

CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024


class ChunkReader:
    """Reads a file descriptor in a thread of its own.

    The thread is a daemon that holds no lock: one that waits for a pipe does not keep the
    process from ending.
    """

    def __init__(self, descriptor: int) -> None:
        """Starts the thread; the descriptor stays open, and the caller's."""
        self._descriptor = descriptor
        self._wanted: queue.SimpleQueue[asyncio.Future[bytes] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name="chunk-reader", daemon=True).start()

    async def read(self) -> bytes:
        """Returns what there is, at most `CHUNK_BYTES`; nothing at the end. Raises OSError."""
        wanted: asyncio.Future[bytes] = self._loop.create_future()
        self._wanted.put(wanted)
        return await wanted

    def close(self) -> None:
        """Lets the thread end once it no longer waits for the descriptor."""
        self._wanted.put(None)

    def _run(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            try:
                chunk = os.read(self._descriptor, CHUNK_BYTES)
            except OSError as error:
                self._answer(wanted, error)
            else:
                self._answer(wanted, chunk)

    def _answer(self, wanted: asyncio.Future[bytes], result: bytes | OSError) -> None:
        def answer() -> None:
            if wanted.cancelled():
                return
            if isinstance(result, OSError):
                wanted.set_exception(result)
            else:
                wanted.set_result(result)

        # Nobody is left to answer once the loop is closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(answer)


Line = tuple[int, bytes | None]


async def read_lines(reader: ChunkReader) -> AsyncIterator[list[Line]]:
    """Yields the lines that have come, with their numbers from 1; blank ones are left out.

    A line longer than `MAX_LINE_BYTES` is None, and no more of it than that is kept.
    """
    number, begun, overlong = 0, b"", False
    while chunk := await reader.read():
        head, *rest = chunk.split(b"\n")
        begun = b"" if overlong else begun + head
        overlong = overlong or len(begun) > MAX_LINE_BYTES
        lines: list[Line] = []
        for following in rest:
            number += 1
            if overlong or begun.strip():
                lines.append((number, None if overlong else begun))
            begun, overlong = following, False
        if lines:
            yield lines
    if overlong or begun.strip():
        yield [(number + 1, None if overlong else begun)]
