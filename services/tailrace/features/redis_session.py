"""A connection to Redis while it lasts: commands out, and replies handed out as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hiredis import HiredisError, PushNotification, Reader, ReplyError, pack_command
from redis.asyncio.connection import AbstractConnection

from tailrace.features.key_tracker import KeyTracker
from tailrace.features.redis_errors import RedisRefused, RedisUnreachable
from tailrace.features.reply_group import ReplyGroup

_INCOMPLETE = object()
_INVALIDATE = b"invalidate"


class RedisSession(asyncio.Protocol):
    """A connection while it lasts: redis-py opens it and says who we are, and is then left out.

    Replies are handed out as they arrive, without a task in between that would have to be woken
    first.

    Attributes:
        waiting: what gets the replies that are still to come, in their order.
        lost: whether the connection is lost.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        """Takes over a connection that redis-py has made."""
        # Redis says nothing unasked, so there is nothing left to read of the greeting.
        writer = connection._writer
        assert writer is not None, "it is connected"
        connection._writer = connection._reader = None
        self.waiting: deque[asyncio.Future[Any] | ReplyGroup] = deque()
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._replies = Reader(notEnoughData=_INCOMPLETE)
        self._tracker: KeyTracker | None = None
        self._cause = "the connection was closed"
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = self._loop.create_future()
        # Kept, as it closes its transport when it is collected.
        self._writer = writer
        self._transport = writer.transport
        self._transport.set_protocol(self)

    async def call(self, packed: bytes) -> Any:
        """Returns the reply to a command. See `RedisLink.call`."""
        while not self._writable.is_set():
            await self._writable.wait()
        if self.lost:
            raise RedisUnreachable(self._cause)
        reply: asyncio.Future[Any] = self._loop.create_future()
        self.waiting.append(reply)
        self._transport.write(packed)
        return await reply

    async def call_many(
        self,
        packed: Sequence[bytes],
        on_first: Callable[[Any], None] | None = None,
        kept: type[Exception] | None = None,
    ) -> list[Any]:
        """Returns the replies to several commands. See `RedisLink.call_many` and `call_each`."""
        if not packed:
            return []
        while not self._writable.is_set():
            await self._writable.wait()
        if self.lost:
            raise RedisUnreachable(self._cause)
        together: asyncio.Future[list[Any]] = self._loop.create_future()
        group = ReplyGroup(together, len(packed), on_first, kept)
        self.waiting.extend([group] * len(packed))
        self._transport.write(b"".join(packed))
        return await together

    async def track(self, tracker: KeyTracker) -> str:
        """Has the tracker told from now on; returns an empty string, or what Redis refused with.

        A server that refuses is spoken to as before.
        """
        try:
            await self.call(pack_command(("HELLO", "3")))  # type: ignore[arg-type]
        except RedisRefused as error:
            return error.error_code
        try:
            await self.call(pack_command(("CLIENT", "TRACKING", "ON")))  # type: ignore[arg-type]
        except RedisRefused as error:
            await self.call(pack_command(("HELLO", "2")))  # type: ignore[arg-type]
            return error.error_code
        self._tracker = tracker
        tracker.tracking_began()
        return ""

    def lose(self, cause: str) -> None:
        """Gives the connection up; what waits for an answer fails."""
        if not self.lost:
            self.lost = True
            self._cause = cause
            self._transport.abort()
            if self._tracker is not None:
                self._tracker.tracking_ended()
            self._fail_waiting()

    async def ended(self) -> None:
        """Returns once the connection is closed."""
        await self._ended

    # -- asyncio.Protocol ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Hands out the replies that are complete."""
        if self.lost:
            return
        replies = self._replies
        replies.feed(data)
        try:
            while (reply := replies.gets()) is not _INCOMPLETE:
                self._hand_out(reply)
        except (HiredisError, IndexError) as error:
            # Not Redis, or an answer that nobody asked for.
            self.lose(type(error).__name__)

    def pause_writing(self) -> None:
        """Lets calls wait until the server takes what was sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Lets calls go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails what waits for an answer."""
        self.lose(type(exc).__name__ if exc is not None else "ConnectionError")
        if not self._ended.done():
            self._ended.set_result(None)

    def _hand_out(self, reply: Any) -> None:
        if self._tracker is not None and isinstance(reply, list):
            if isinstance(reply, PushNotification):
                self._hand_on(self._tracker, reply)
                return
            if PushNotification in set(map(type, reply)):
                # Some older servers write one into the middle of a reply, of a key that they
                # find expired while they read it.
                self.lose("a notification inside a reply")
                return
        future = self.waiting.popleft()
        if future.done():
            return
        if isinstance(reply, ReplyError):
            future.set_exception(RedisRefused(_error_code(reply)))
        else:
            future.set_result(reply)

    def _hand_on(self, tracker: KeyTracker, push: list[Any]) -> None:
        if push[0] == _INVALIDATE:
            tracker.keys_changed(push[1])

    def _fail_waiting(self) -> None:
        self._writable.set()
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_exception(RedisUnreachable(self._cause))


def _error_code(error: ReplyError) -> str:
    words: Sequence[str] = str(error).split(maxsplit=1)
    return words[0] if words else "an error"
