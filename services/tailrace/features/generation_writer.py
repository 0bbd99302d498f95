"""Writes a new generation of a view's rows beside the current one, and makes it current.

What readers see changes in one write: that of the pointer. Before it, the rows of the new
generation are under keys that nobody reads; after it, those of the old one are, and are
removed at once (a lookup reads the pointer in the same command as its rows, so none can still
be on its way to them).

One load of a view runs at a time: a lock with a time to live, renewed while the load lasts,
keeps others out, and the pointer is only moved while the lock is held. A load that dies leaves
the keys `loading`, so that its generation is never used by another, and `progress`. The next
load goes on with it if it is of the same source; else it removes its rows before it writes any.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from tailrace.features.generation_rows import remove_rows, set_commands
from tailrace.features.load_errors import LoadLocked
from tailrace.features.load_lock import LoadLock
from tailrace.features.load_options import LOCK_TTL_MS
from tailrace.features.load_state import UnfinishedLoad
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import Argument, RedisLink, RedisRefused, RedisUnreachable
from tailrace.runtime.errors import FeaturesCorrupt, Unavailable

# Removing the old generation of a hundred million rows takes minutes; whoever is told that a
# load failed should not wait for that.
CLEAN_UP_TIMEOUT_S = 600.0
CLEAN_UP_AFTER_ERROR_TIMEOUT_S = 10.0

# All of them do nothing unless the lock is held.
_SET = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""
_START = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3])
return 1
"""
_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
redis.call('DEL', KEYS[4], KEYS[5])
return 1
"""
_FORGET = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', unpack(KEYS))
return 1
"""


class GenerationWriter:
    """Holds the lock of one view and writes one generation of it.

    An asynchronous context: entering takes the lock, leaving gives it back. What was written
    and not published is removed on leaving, unless the store was lost on the way and a later
    load can go on with it.

    Attributes:
        current: what readers see; None if the view was never loaded.
        generation: number of the new generation.
        unfinished: a load that died and has left rows behind, if there is one that can be told.
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
        self.unfinished: UnfinishedLoad | None = None
        self.has_leftovers = False
        self.lock = LoadLock(link, names.lock(view), view, lock_ttl_ms)
        self._link = link
        self._names = names
        self._view = view
        self._started = False
        self._own: UnfinishedLoad | None = None
        self._publishing = False

    async def __aenter__(self) -> GenerationWriter:
        """Takes the lock and finds out what is there.

        Raises:
            LoadLocked: another load of the view is running.
            Unavailable: the store cannot be reached or cannot serve.
        """
        try:
            await self.lock.take()
            await self._look_around()
        except BaseException as error:
            # Also where it is unknown whether the lock was taken: only our own is given back.
            await self._leave(error)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Removes what nobody needs and gives the lock back."""
        await self._leave(error)

    def resumable(self, digest: str) -> UnfinishedLoad | None:
        """Returns the load that died, if it was of the source with this digest."""
        found = self.unfinished
        return found if found is not None and found.digest == digest else None

    def resume(self, unfinished: UnfinishedLoad) -> None:
        """Goes on with the generation of a load that died."""
        self.generation = unfinished.generation
        self._started, self._own = True, unfinished

    async def start(self, digest: str = "", load_time_us: int = 0) -> None:
        """Begins the new generation; removes what loads that died have left.

        Args:
            digest: under which a later load may go on with this one; empty if none may.
            load_time_us: kept for it.

        Raises:
            LoadLocked: the lock was lost.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        # First: from here on nobody goes on with the rows that are removed.
        names, view = self._names, self._view
        keys = (names.loading(view), names.progress(view))
        await self._call_locked(_START, keys, (b"%d" % self.generation,))
        self._started = True
        self._own = UnfinishedLoad(self.generation, digest, 0, load_time_us) if digest else None
        if self.has_leftovers:
            await self._remove_others()

    async def write(self, keys: Sequence[str], rows: Sequence[bytes]) -> None:
        """Stores rows in the new generation; a key that is there already is overwritten.

        Raises:
            LoadLocked: the lock was lost.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        self.lock.check()
        if rows:
            prefix = self._names.generation(self._view, self.generation)
            await self._link.call_many(set_commands(prefix, keys, rows))

    async def checkpoint(self, rows_done: int) -> None:
        """Tells that the good ones of the first `rows_done` rows of the source are written.

        Raises:
            LoadLocked: the lock was lost.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        assert self._own is not None, "it has started, with a digest"
        state = replace(self._own, rows_done=rows_done)
        await self._call_locked(_SET, (self._names.progress(self._view),), (state.to_json(),))

    async def publish(self, pointer: Pointer, statistics: bytes) -> None:
        """Makes what was written what readers see, in one write.

        Args:
            pointer: names the new generation, or the current one with what is new about it.
            statistics: stored beside it.

        Raises:
            LoadLocked: the lock was lost; readers see what they saw before.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        names, view = self._names, self._view
        pairs = (names.pointer(view), names.statistics(view))
        keys = (*pairs, names.added(view), names.progress(view))
        contents = (pointer.to_json(), statistics)
        self._publishing = True
        try:
            await self._call_locked(_PUBLISH, keys, contents)
        except RedisRefused:
            self._publishing = False
            raise
        self._publishing = False
        # The first generation ever has no others to remove.
        self.has_leftovers |= self.current is not None and self._started
        self._started, self._own = False, None
        self.current = pointer

    async def _call_locked(
        self, script: str, keys: Sequence[str], arguments: Sequence[bytes]
    ) -> None:
        lock = self.lock
        lock.check()
        all_keys: list[Argument] = [lock.key, *keys]
        command = ("EVAL", script, len(all_keys), *all_keys, lock.token, *arguments)
        if not await self._link.call(*command):
            lock.lost = True
            lock.check()

    async def _remove_others(self) -> None:
        """Removes all rows of the view that are not of the current generation."""
        kept = [self.current.generation] if self.current else []
        await remove_rows(self._link, self._names, self._view, kept, self.lock.check)

    async def _look_around(self) -> None:
        names, view = self._names, self._view
        keys = (names.pointer(view), names.loading(view), names.progress(view))
        pointer, loading, progress = await self._link.call("MGET", *keys)
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
        found = None if progress is None else UnfinishedLoad.from_json(progress)
        is_last = found is not None and found.generation == max(numbers) == int(loading or 0)
        self.unfinished = found if is_last else None

    async def _leave(self, error: BaseException | None) -> None:
        cleaning = asyncio.create_task(self._clean_up(error))
        try:
            await asyncio.shield(cleaning)
        except asyncio.CancelledError:
            # Short, and better finished than left to the next load.
            await asyncio.wait([cleaning])
            raise

    async def _clean_up(self, error: BaseException | None) -> None:
        timeout_s = CLEAN_UP_TIMEOUT_S if error is None else CLEAN_UP_AFTER_ERROR_TIMEOUT_S
        # A store that is gone or stuck keeps the leftovers, and the next load finds them.
        with contextlib.suppress(Unavailable, TimeoutError, LoadLocked):
            async with asyncio.timeout(timeout_s):
                await self._give_back(error)
        await self.lock.stop_keeping()

    async def _give_back(self, error: BaseException | None) -> None:
        writing, published = self._started, False
        if self._publishing:
            written = self.generation
            # The answer never came: the pointer may have moved, or be about to.
            await self.lock.change_token()
            await self._look_around()
            now = self.current
            published = writing and now is not None and now.generation == written
        if self.lock.lost:
            return
        keys = [self.lock.key]
        if published or not self._may_go_on(error):
            if writing or self.has_leftovers:
                # First: from here on nobody goes on with the rows that are removed.
                progress = self._names.progress(self._view)
                await self._link.call("EVAL", _FORGET, 2, keys[0], progress, self.lock.token)
                await self._remove_others()
            keys += (self._names.loading(self._view), self._names.progress(self._view))
        await self.lock.stop_keeping()
        await self._link.call("EVAL", _RELEASE, len(keys), *keys, self.lock.token)

    def _may_go_on(self, error: BaseException | None) -> bool:
        """Returns whether a later load may want what is in the store.

        A load that failed before it began has no say in what an earlier one left.
        """
        if not self._started:
            return error is not None
        return self._own is not None and isinstance(error, RedisUnreachable)
