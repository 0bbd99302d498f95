"""Writes events into the Redis streams that the event service reads."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.features.events.stream_entry import StreamNames, entry_of, partition_of
from tailrace.features.redis_link import Argument, RedisLink
from tailrace.v1.event_service_pb2 import Event


class StreamProducer:
    """Appends events to the partition of their entity."""

    def __init__(self, link: RedisLink, prefix: str, partitions: int) -> None:
        """Keeps the parts.

        Args:
            link: to the feature Redis.
            prefix: what all keys begin with.
            partitions: TAILRACE_EVENTS_PARTITIONS of the event service.
        """
        self._link = link
        self._names = StreamNames(prefix)
        self._partitions = partitions

    async def send(
        self, event_type: str, events: Sequence[tuple[str, Event]], *, traceparent: str = ""
    ) -> None:
        """Appends events, in order.

        Args:
            event_type: name of their type.
            events: each with the key of its entity, as `KeyEncoder` writes it.
            traceparent: names the span that they are sent in, as W3C's header; may be empty.

        Raises:
            Unavailable: some may have been appended; sent again, each still counts once.
        """
        commands: list[list[Argument]] = []
        for key, event in events:
            stream = self._names.stream(partition_of(key, self._partitions))
            command: list[Argument] = ["XADD", stream, "*"]
            for name, content in entry_of(event_type, event, traceparent).items():
                command += [name, content]
            commands.append(command)
        await self._link.call_many(commands)
