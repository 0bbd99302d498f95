"""Connections of a generator: opened once per target, used by every order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import grpc.aio

# Without a pool of its own, every channel to one target would share one connection.
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class Connections:
    """Channels by target, each with a connection of its own."""

    def __init__(self) -> None:
        """Opens nothing yet."""
        self._channels: dict[str, list[grpc.aio.Channel]] = {}

    def open(self, target: str, count: int) -> Sequence[grpc.aio.Channel]:
        """Returns `count` channels; those that were opened before come first."""
        channels = self._channels.setdefault(target, [])
        for _ in itertools.repeat(None, count - len(channels)):
            channels.append(grpc.aio.insecure_channel(target, options=_OPTIONS))
        return channels[:count]

    async def close(self) -> None:
        """Closes all of them."""
        for channel in itertools.chain.from_iterable(self._channels.values()):
            await channel.close()
