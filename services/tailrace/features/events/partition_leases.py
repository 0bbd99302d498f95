"""Which process reads which partition: shares by those that are there, each held by a lease."""

from __future__ import annotations

import asyncio
import time

from tailrace.features.events.stream_entry import StreamNames
from tailrace.features.redis_link import RedisLink

_ACQUIRE = """
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if owner then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
"""


class PartitionLeases:
    """The partitions of one process.

    Every process that reads is in one sorted set, with when it was last heard of, by Redis's
    clock. Sorted by name, the i-th of n takes every n-th partition. It reads one only once the
    one before it has let go of it, or has not been heard of for the length of a lease.
    """

    def __init__(
        self, link: RedisLink, names: StreamNames, consumer: str, partitions: int, lease_ms: int
    ) -> None:
        """Keeps the parts.

        Args:
            link: to the feature Redis.
            names: of the keys.
            consumer: name of this process, its own.
            partitions: how many there are.
            lease_ms: how long a process that is not heard of keeps its partitions.
        """
        self._link = link
        self._names = names
        self._consumer = consumer
        self._partitions = partitions
        self._lease_ms = lease_ms
        self._until: dict[int, float] = {}
        self._share: set[int] = set()
        # What is being let go of must not be taken to be held by a renewal that was under way.
        self._changing = asyncio.Lock()

    def held(self) -> set[int]:
        """Returns the partitions that this process may read now."""
        now = time.monotonic()
        return {partition for partition, until in self._until.items() if now < until}

    def surplus(self) -> set[int]:
        """Returns those held that are another's share now: `release` them when at rest."""
        return self.held() - self._share

    async def renew(self) -> None:
        """Says that this process is there, and takes or keeps its share.

        Raises:
            Unavailable: Redis cannot be reached; what is held runs out.
        """
        async with self._changing:
            await self._renew()

    async def release(self, partitions: set[int]) -> None:
        """Lets go of partitions. Raises Unavailable."""
        async with self._changing:
            for partition in partitions:
                self._until.pop(partition, None)
            await self._link.call_many(
                [
                    ("EVAL", _RELEASE, 1, self._names.lease(partition), self._consumer)
                    for partition in sorted(partitions)
                ]
            )

    async def leave(self) -> None:
        """Lets go of everything: this process reads no more. Raises Unavailable."""
        await self.release(set(self._until))
        await self._link.call("ZREM", self._names.consumers, self._consumer)

    async def _renew(self) -> None:
        asked_at = time.monotonic()
        seconds, fraction_us = await self._link.call("TIME")
        now_ms = int(seconds) * 1000 + int(fraction_us) // 1000
        members = await self._members(now_ms)
        place, count = members.index(self._consumer), len(members)
        self._share = {p for p in range(self._partitions) if p % count == place}
        # What is surplus is kept until it is let go of.
        wanted = sorted(self._share | self.held())
        granted = await self._link.call_many(
            [
                ("EVAL", _ACQUIRE, 1, self._names.lease(p), self._consumer, self._lease_ms)
                for p in wanted
            ]
        )
        until = asked_at + self._lease_ms / 1000
        self._until = {p: until for p, is_ours in zip(wanted, granted, strict=True) if is_ours}

    async def _members(self, now_ms: int) -> list[str]:
        consumers = self._names.consumers
        _, _, _, members = await self._link.call_many(
            [
                ("ZADD", consumers, now_ms, self._consumer),
                ("ZREMRANGEBYSCORE", consumers, "-inf", now_ms - self._lease_ms),
                # Redis's clock was set back: who is there says so again, and who died must go.
                ("ZREMRANGEBYSCORE", consumers, now_ms + self._lease_ms, "+inf"),
                ("ZRANGE", consumers, 0, -1),
            ]
        )
        return sorted(member.decode() for member in members)
