"""Messages of one stream, each given a time to be taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from tailrace.runtime.errors import DeadlineExceeded

Message = TypeVar("Message")


class PatientWriter(Generic[Message]):
    """Writes one message after the other.

    gRPC takes back no message, and no status goes out before it: a caller who does not read cannot
    be told so until he reads on. Until then nothing is kept for him but that message.
    """

    def __init__(
        self, write: Callable[[Message], Coroutine[Any, Any, None]], idle_s: float
    ) -> None:
        """Keeps the parts.

        Args:
            write: sends a message; returns once the transport takes more.
            idle_s: how long a message may take to be taken, in seconds.
        """
        self._write = write
        self._idle_s = idle_s
        self._writing: asyncio.Task[None] | None = None

    async def write(self, message: Message) -> None:
        """Sends a message. Raises DeadlineExceeded if it is not taken in time."""
        self._writing = asyncio.create_task(self._write(message))
        try:
            async with asyncio.timeout(self._idle_s):
                await asyncio.shield(self._writing)
        except TimeoutError as error:
            raise DeadlineExceeded(f"nothing was taken for {self._idle_s:g} s") from error
        self._writing = None

    async def settle(self) -> None:
        """Returns once a message that was not taken in time is taken, if there is one."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def close(self) -> None:
        """Ends what is still being written: the call is over."""
        if self._writing is not None:
            self._writing.cancel()
