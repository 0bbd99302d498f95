"""What a load tells the store of itself, which counts only while it holds the view's lock."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.features.load_lock import LoadLock
from tailrace.features.load_state import UnfinishedLoad
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import Argument, RedisLink

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


class LockedStore:
    """The keys of one view that say what counts and what is being loaded.

    All methods raise Unavailable if the store cannot be reached or cannot serve, or is full, and
    but for those that do nothing then, LoadLocked if the lock was lost.
    """

    def __init__(self, link: RedisLink, names: KeyNames, view: str, lock: LoadLock) -> None:
        """Keeps the parts.

        Args:
            link: to the store.
            names: names of the keys.
            view: name of the view.
            lock: of the view.
        """
        self._link = link
        self._names = names
        self._view = view
        self._lock = lock

    async def start(self, generation: int) -> None:
        """Tells that a generation is being written, with which no later load can go on yet."""
        keys = (self._names.loading(self._view), self._names.progress(self._view))
        await self._call(_START, keys, (b"%d" % generation,))

    async def tell_progress(self, state: UnfinishedLoad) -> None:
        """Tells how far the load has come."""
        await self._call(_SET, (self._names.progress(self._view),), (state.to_json(),))

    async def publish(self, pointer: Pointer, statistics: bytes) -> None:
        """Makes readers see a generation, in one write."""
        names, view = self._names, self._view
        pairs = (names.pointer(view), names.statistics(view))
        keys = (*pairs, names.added(view), names.progress(view))
        await self._call(_PUBLISH, keys, (pointer.to_json(), statistics))

    async def forget_progress(self) -> None:
        """Keeps later loads from going on with this one. Does nothing without the lock."""
        progress = self._names.progress(self._view)
        await self._link.call("EVAL", _FORGET, 2, self._lock.key, progress, self._lock.token)

    async def release(self, *, and_loading: bool) -> None:
        """Gives the lock back. Does nothing without the lock.

        Args:
            and_loading: also tells that nothing is being loaded any more.
        """
        keys = [self._lock.key]
        if and_loading:
            keys += (self._names.loading(self._view), self._names.progress(self._view))
        await self._link.call("EVAL", _RELEASE, len(keys), *keys, self._lock.token)

    async def _call(self, script: str, keys: Sequence[str], arguments: Sequence[bytes]) -> None:
        lock = self._lock
        lock.check()
        all_keys: list[Argument] = [lock.key, *keys]
        command = ("EVAL", script, len(all_keys), *all_keys, lock.token, *arguments)
        if not await self._link.call(*command):
            lock.lost = True
            lock.check()
