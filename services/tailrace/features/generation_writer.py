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
from tailrace.features.locked_store import LockedStore
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_errors import RedisRefused, RedisUnreachable
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.errors import FeaturesCorrupt, Unavailable

# Removing the old generation of a hundred million rows takes minutes; whoever is told that a
# load failed should not wait for that.
CLEAN_UP_TIMEOUT_S = 600.0
CLEAN_UP_AFTER_ERROR_TIMEOUT_S = 10.0


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
        self._store = LockedStore(link, names, view, self.lock)
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
        await self._store.start(self.generation)
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
        await self._store.tell_progress(state)

    async def publish(self, pointer: Pointer, statistics: bytes) -> None:
        """Makes what was written what readers see, in one write.

        Args:
            pointer: names the new generation, or the current one with what is new about it.
            statistics: stored beside it.

        Raises:
            LoadLocked: the lock was lost; readers see what they saw before.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        self._publishing = True
        try:
            await self._store.publish(pointer, statistics)
        except RedisRefused:
            self._publishing = False
            raise
        self._publishing = False
        # The first generation ever has no others to remove.
        self.has_leftovers |= self.current is not None and self._started
        self._started, self._own = False, None
        self.current = pointer

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
        is_over = published or not self._may_go_on(error)
        if is_over and (writing or self.has_leftovers):
            # First: from here on nobody goes on with the rows that are removed.
            await self._store.forget_progress()
            await self._remove_others()
        await self.lock.stop_keeping()
        await self._store.release(and_loading=is_over)

    def _may_go_on(self, error: BaseException | None) -> bool:
        """Returns whether a later load may want what is in the store.

        A load that failed before it began has no say in what an earlier one left.
        """
        if not self._started:
            return error is not None
        return self._own is not None and isinstance(error, RedisUnreachable)
