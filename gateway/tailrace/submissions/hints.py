"""Hints that there is something to do; a lost one costs a wait, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib

from tailrace.submissions.queue_link import QueueLink

_RECONNECT_S = 1.0


class Hints:
    """Listens to channels of the queue Redis, from the first wait on."""

    def __init__(self, link: QueueLink, channels: tuple[str, ...]) -> None:
        self._link = link
        self._told = {channel: asyncio.Event() for channel in channels}
        self._listener: asyncio.Task[None] | None = None

    async def wait(self, channel: str, timeout_s: float) -> None:
        """Returns after a hint since the last wait, or after a time."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="queue hints")
        told = self._told[channel]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await told.wait()
        told.clear()

    async def close(self) -> None:
        """Stops listening."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            # Without a server there are no hints, and those who wait look for themselves.
            await self._link.listen(tuple(self._told), self._tell)
            await asyncio.sleep(_RECONNECT_S)

    def _tell(self, channel: str | None) -> None:
        """Wakes those who wait for a channel; None, where hints may have been lost, is for all."""
        for name, told in self._told.items():
            if channel in (None, name):
                told.set()
