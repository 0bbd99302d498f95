"""Opens the queue: the one entry point for gateway, dispatcher, courier and command line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tailrace.runtime.config import QueueSettings
from tailrace.runtime.errors import QueueUnavailable
from tailrace.runtime.start_error import StartError
from tailrace.submissions.callback_store import RedisCallbackStore
from tailrace.submissions.hints import Hints
from tailrace.submissions.keys import QueueKeys
from tailrace.submissions.queue_limits import QueueLimits
from tailrace.submissions.queue_link import QueueLink
from tailrace.submissions.redis_store import RedisStore

_RETRY_S = 0.5


class Queue:
    """The queue, open.

    Attributes:
        submissions: `SubmissionStore`.
        callbacks: `CallbackStore`.
    """

    def __init__(self, link: QueueLink, settings: QueueSettings, hints: Hints) -> None:
        keys = QueueKeys(settings.queue_key_prefix)
        limits = QueueLimits.of(settings)
        partitions = settings.queue_partitions
        self.submissions = RedisStore(link, keys, partitions, limits, hints)
        self.callbacks = RedisCallbackStore(link, keys)
        self._link = link
        self._wanted = settings.queue_durability

    @property
    def available(self) -> bool:
        """Whether the queue answered last."""
        return self._link.available

    @property
    def durability(self) -> str:
        """What the server really makes durable: `always`, `waitaof`, `everysec`, `none`, `unknown`.

        `unknown` until it was reached once, or where it does not tell.
        """
        server = self._link.server
        if server is None:
            return "unknown"
        return self._wanted if self._wanted == "waitaof" else server.durability


@contextlib.asynccontextmanager
async def open_queue(settings: QueueSettings, client_name: str) -> AsyncIterator[Queue]:
    """Opens the queue that the settings name.

    If Redis cannot be reached, the queue is opened all the same: its calls raise QueueUnavailable
    until it can, and what is checked here is checked then, on every connection.

    Args:
        settings: of the process; TAILRACE_QUEUE_REDIS_URL is set.
        client_name: what Redis lists the connections under.

    Raises:
        StartError: the URL is none, or the Redis cannot hold this queue; says why.
    """
    if settings.queue_redis_url is None:
        raise StartError("TAILRACE_QUEUE_REDIS_URL is needed")
    keys = QueueKeys(settings.queue_key_prefix)
    try:
        link = QueueLink(
            settings.queue_redis_url,
            cluster=settings.queue_redis_cluster,
            client_name=client_name,
            durability=settings.queue_durability,
            partitions=(keys.partitions, settings.queue_partitions),
        )
    except ValueError as error:
        raise StartError(f"TAILRACE_QUEUE_REDIS_URL: {error}") from error
    hints = Hints(link, (keys.queued_channel, keys.due_channel))
    try:
        await _check(link)
        watch = asyncio.create_task(_keep_trying(link), name="queue link")
        try:
            yield Queue(link, settings, hints)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    finally:
        await hints.close()
        await link.close()


async def _check(link: QueueLink) -> None:
    try:
        await link.check()
    except QueueUnavailable as error:
        if link.fault:
            raise StartError(link.fault) from error


async def _keep_trying(link: QueueLink) -> None:
    """Finds out when an unavailable queue is back, also where nobody asks it for anything."""
    while True:
        await asyncio.sleep(_RETRY_S)
        if not link.available:
            with contextlib.suppress(QueueUnavailable):
                await link.check()
