"""How many results a receiver has taken, told to the generator; and ids small enough to keep all.

The feed is a Unix socket on which the receiver writes its total, eight bytes little-endian, at most
once in ten milliseconds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

_TOTAL_BYTES = 8
_TOLD_AFTER_S = 0.01


def digest_of(prediction_id: str) -> int:
    """Returns 64 bits that stand for an id."""
    return int.from_bytes(blake2b(prediction_id.encode(), digest_size=8).digest(), "little")


def digest_text(digests: Iterable[int]) -> str:
    """Returns digests as text."""
    return base64.b64encode(array("Q", digests).tobytes()).decode()


def read_digests(text: str) -> list[int]:
    """Returns what `digest_text` wrote."""
    digests = array("Q")
    digests.frombytes(base64.b64decode(text))
    return digests.tolist()


class FeedWriter:
    """The receiver's end.

    Attributes:
        total: results taken so far.
    """

    def __init__(self) -> None:
        """Nobody listens yet."""
        self.total = 0
        self._listeners: set[asyncio.StreamWriter] = set()
        self._told = True

    async def serve(self, path: Path) -> asyncio.Server:
        """Returns a server that tells all who connect."""
        return await asyncio.start_unix_server(self._take, path)

    def count(self) -> None:
        """Counts one result."""
        self.total += 1
        if self._told:
            # Of those that come in one message, or at about the same time, once.
            self._told = False
            asyncio.get_running_loop().call_later(_TOLD_AFTER_S, self._tell)

    def _tell(self) -> None:
        self._told = True
        for listener in self._listeners:
            listener.write(self.total.to_bytes(_TOTAL_BYTES, "little"))

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._listeners.add(writer)
        writer.write(self.total.to_bytes(_TOTAL_BYTES, "little"))
        try:
            await reader.read()
        finally:
            self._listeners.discard(writer)
            writer.close()


class FeedReader:
    """The generator's end; a context manager.

    Attributes:
        taken: results taken since it was opened.
    """

    def __init__(self, path: str) -> None:
        """Keeps the path of the socket."""
        self.taken = 0
        self._path = path
        self._changed = asyncio.Event()

    async def __aenter__(self) -> FeedReader:
        reader, self._writer = await asyncio.open_unix_connection(self._path)
        self._before = int.from_bytes(await reader.readexactly(_TOTAL_BYTES), "little")
        self._task = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    async def changed(self) -> None:
        """Returns after the next change. Raises RuntimeError if the receiver has ended."""
        if self._task.done():
            raise RuntimeError("the receiver has ended")
        self._changed.clear()
        await self._changed.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                total = int.from_bytes(await reader.readexactly(_TOTAL_BYTES), "little")
                self.taken = total - self._before
                self._changed.set()
        self._changed.set()
