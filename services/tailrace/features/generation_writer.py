"""Writes a new generation of a view's rows beside the current one, and makes it current.

What readers see changes in one write: that of the pointer. Before it, the rows of the new
generation are under keys that nobody reads; after it, those of the old one are, and are
removed at once (a lookup reads the pointer in the same command as its rows, so none can still
be on its way to them).

One load of a view runs at a time: a lock with a time to live, renewed while the load lasts,
keeps others out, and the pointer is only moved while the lock is held. A load that dies leaves
the key `loading`, so that its generation is never used again, and the next load removes its
rows before it writes any.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from tailrace.features.load_lock import LoadLock
from tailrace.features.load_options import LOCK_TTL_MS
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import RedisLink, RedisRefused
from tailrace.runtime.errors import FeaturesCorrupt, Unavailable

CLEAN_UP_TIMEOUT_S = 10.0
_ROWS_PER_COMMAND = 512
_BYTES_PER_COMMAND = 1024 * 1024
_SCAN_COUNT = 1000

_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2], KEYS[1])
return 1
"""


class GenerationWriter:
    """Holds the lock of one view and writes one generation of it.

    An asynchronous context: entering takes the lock, leaving gives it back. What was written
    and not published is removed on leaving.

    Attributes:
        current: what readers see; None if the view was never loaded.
        generation: number of the new generation.
        has_leftovers: whether a load that died has left rows behind.
    """

    def __init__(
        self, link: RedisLink, names: KeyNames, view: str, *, lock_ttl_ms: int = LOCK_TTL_MS
    ) -> None:
        """Keeps the parts.

        Args:
            link: to the store.
            names: names of the keys.
            view: name of the view.
            lock_ttl_ms: how long the lock outlives a load that dies, in milliseconds.
        """
        self.current: Pointer | None = None
        self.generation = 0
        self.has_leftovers = False
        self._link = link
        self._names = names
        self._view = view
        self._lock = LoadLock(link, names.lock(view), view, lock_ttl_ms)
        self._must_sweep = False
        self._publishing = False

    async def __aenter__(self) -> GenerationWriter:
        """Takes the lock and finds out what is there.

        Raises:
            LoadLocked: another load of the view is running.
            Unavailable: the store cannot be reached or cannot serve.
        """
        try:
            await self._lock.take()
            await self._look_around()
        except BaseException:
            # Also where it is unknown whether the lock was taken: only our own is given back.
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Removes what was not published and gives the lock back."""
        await self._leave()

    async def start(self) -> None:
        """Begins the new generation; removes what loads that died have left."""
        if self.has_leftovers:
            await self._remove_others()
        self._must_sweep = True
        await self._link.call("SET", self._names.loading(self._view), self.generation)

    async def write(self, keys: Sequence[str], rows: Sequence[bytes]) -> None:
        """Stores rows in the new generation; a key that is there already is overwritten.

        Raises:
            LoadLocked: the lock was lost.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        self._lock.check()
        prefix = self._names.generation(self._view, self.generation)
        calls = [self._link.call(*command) for command in _commands(prefix, keys, rows)]
        await asyncio.gather(*calls)

    async def publish(self, pointer: Pointer) -> None:
        """Makes the new generation the one that readers see.

        Raises:
            LoadLocked: the lock was lost; readers see what they saw before.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        self._lock.check()
        keys = (self._lock.key, self._names.pointer(self._view))
        self._publishing = True
        try:
            done = await self._link.call(
                "EVAL", _PUBLISH, 2, *keys, self._lock.token, pointer.to_json()
            )
        except RedisRefused:
            self._publishing = False
            raise
        self._publishing = False
        if not done:
            self._lock.lost = True
            self._lock.check()
        # The first generation ever has no others to remove.
        self._must_sweep = self.current is not None or self.has_leftovers
        self.current = pointer

    async def _remove_others(self) -> None:
        """Removes all rows of the view that are not of the current generation."""
        kept = self.current.generation if self.current else None
        async for keys in self._scan(f"{self._names.rows(self._view)}*"):
            prefix = b"" if kept is None else self._names.generation(self._view, kept).encode()
            gone = [key for key in keys if kept is None or not key.startswith(prefix)]
            if gone:
                await self._link.call("UNLINK", *gone)

    async def _look_around(self) -> None:
        names, view = self._names, self._view
        pointer, loading = await self._link.call("MGET", names.pointer(view), names.loading(view))
        self.has_leftovers = loading is not None
        numbers = [int(loading or 0)]
        if pointer is not None:
            try:
                self.current = Pointer.from_json(view, pointer)
                numbers.append(self.current.generation)
            except FeaturesCorrupt:
                # Its number is unknown, so take one that no counting can have come to.
                numbers.append(time.time_ns() // 1_000_000)
                self.has_leftovers = True
        self.generation = max(numbers) + 1

    async def _leave(self) -> None:
        cleaning = asyncio.create_task(self._clean_up())
        try:
            await asyncio.shield(cleaning)
        except asyncio.CancelledError:
            # Short, and better finished than left to the next load.
            await asyncio.wait([cleaning])
            raise

    async def _clean_up(self) -> None:
        await self._lock.stop_keeping()
        # A store that is gone or stuck keeps the leftovers, and the next load finds them.
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(CLEAN_UP_TIMEOUT_S):
                if self._publishing:
                    # The answer never came: the pointer may have moved, or be about to.
                    await self._lock.change_token()
                    await self._look_around()
                if self._lock.lost:
                    return
                if self._must_sweep or self.has_leftovers:
                    await self._remove_others()
                keys = (self._lock.key, self._names.loading(self._view))
                await self._link.call("EVAL", _RELEASE, 2, *keys, self._lock.token)

    async def _scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        cursor = b"0"
        while True:
            cursor, keys = await self._link.call(
                "SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT
            )
            if keys:
                yield keys
            if cursor == b"0":
                return


def _commands(prefix: str, keys: Sequence[str], rows: Sequence[bytes]) -> list[list[str | bytes]]:
    commands: list[list[str | bytes]] = []
    command: list[str | bytes] = ["MSET"]
    size = 0
    for key, row in zip(keys, rows, strict=True):
        command += (prefix + key, row)
        size += len(row)
        if len(command) > 2 * _ROWS_PER_COMMAND or size > _BYTES_PER_COMMAND:
            commands.append(command)
            command, size = ["MSET"], 0
    if len(command) > 1:
        commands.append(command)
    return commands
