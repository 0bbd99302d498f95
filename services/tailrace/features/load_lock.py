"""The lock that keeps two loads of one view apart."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid

from tailrace.features.load_errors import LoadLocked
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.errors import Unavailable

_RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2])"
_CHANGE_TOKEN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class LoadLock:
    """A key with a time to live, renewed while it is held, that holds its owner's token.

    Whoever stands still for longer than that loses it. So it only keeps loads out of each
    other's way; what must not happen without it checks the token in the same script.

    Attributes:
        key: its key.
        token: what it holds while it is ours.
        lost: whether it was found not to be ours any more.
    """

    def __init__(self, link: RedisLink, key: str, view: str, ttl_ms: int) -> None:
        """Keeps the parts.

        Args:
            link: to the store.
            key: its key.
            view: name of the view, for errors.
            ttl_ms: how long it outlives an owner that dies, in milliseconds.
        """
        self.key = key
        self.token = _new_token()
        self.lost = False
        self._link = link
        self._view = view
        self._ttl_ms = ttl_ms
        self._keeping: asyncio.Task[None] | None = None
        self._held_until = 0.0

    async def take(self) -> None:
        """Takes the lock, and keeps it until `stop_keeping`. Raises LoadLocked, Unavailable."""
        asked = time.monotonic()
        taken = await self._link.call("SET", self.key, self.token, "NX", "PX", self._ttl_ms)
        self._held_until = asked + self._ttl_ms / 1000
        if taken is None:
            raise await self._held_by_other()
        self._keeping = asyncio.create_task(self._keep())

    async def stop_keeping(self) -> None:
        """Ends the renewal; the lock is still there."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    def check(self) -> None:
        """Raises LoadLocked if the lock was lost, or may have been: its time is over."""
        if time.monotonic() > self._held_until:
            self.lost = True
        if self.lost:
            raise LoadLocked(
                f"view {self._view!r}: the lock was lost, as this process stood still for "
                f"longer than {self._ttl_ms / 1000:g} s; run the load again"
            )

    async def change_token(self) -> None:
        """Takes a new token, so that no script under the old one, still on its way, counts."""
        token = _new_token()
        command = ("EVAL", _CHANGE_TOKEN, 1, self.key, self.token, token, self._ttl_ms)
        asked = time.monotonic()
        if await self._link.call(*command):
            self.token = token
            self._held_until = asked + self._ttl_ms / 1000
        else:
            self.lost = True

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._ttl_ms / 3000)
            asked = time.monotonic()
            try:
                kept = await self._link.call("EVAL", _RENEW, 1, self.key, self.token, self._ttl_ms)
            except Unavailable:
                continue  # the load itself will find out
            if not kept:
                self.lost = True
                return
            self._held_until = asked + self._ttl_ms / 1000

    async def _held_by_other(self) -> LoadLocked:
        holder = await self._link.call("GET", self.key)
        remaining_ms = int(await self._link.call("PTTL", self.key))
        host, _, rest = (holder or b"?").decode(errors="replace").partition(":")
        pid = rest.partition(":")[0] or "?"
        return LoadLocked(
            f"view {self._view!r}: another load of it is running (process {pid} on {host}), or "
            f"has died; its lock ends in {max(remaining_ms, 0) / 1000:.1f} s unless it is renewed"
        )


def _new_token() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
