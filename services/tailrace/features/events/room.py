"""The bound on what all streams of events together have in progress."""

from __future__ import annotations

import asyncio

from tailrace.v1.event_service_pb2 import IngestEventsRequest

# What an event takes while it is in progress, beside its own bytes: 1.3 kB were measured with five
# fields and two views, and its commands come to that.
_BYTES_PER_EVENT = 2048


def bytes_of(batch: IngestEventsRequest) -> int:
    """Returns about how much memory a batch takes while it is in progress, in bytes."""
    return batch.ByteSize() + _BYTES_PER_EVENT * len(batch.events)


class Room:
    """So many bytes, handed out in the order in which they are asked for.

    Attributes:
        taken: bytes that are handed out.
    """

    def __init__(self, size: int) -> None:
        """Starts empty; `size` is in bytes."""
        self.taken = 0
        self._size = size
        self._turn = asyncio.Lock()
        self._given_back = asyncio.Event()

    async def take(self, size: int) -> None:
        """Returns once there is room; what is larger than all of it gets it when it is empty."""
        async with self._turn:
            while self.taken and self.taken + size > self._size:
                self._given_back.clear()
                await self._given_back.wait()
            self.taken += size

    def give_back(self, size: int) -> None:
        """Makes room for others."""
        self.taken -= size
        self._given_back.set()
