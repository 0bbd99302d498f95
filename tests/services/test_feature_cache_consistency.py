"""Cached lookups beside concurrent writers: answers are never mixed, and never go back in time."""

from __future__ import annotations

import asyncio
import random

import pytest
import redis.asyncio

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.key_cache import ENTRY_BYTES, KeyCache
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.runtime.errors import Unavailable
from tests.support.keys_read import OpenStore, read_keys, reconnected

PAIRS = 20
WRITES = 500
READERS = 4
LOOKUPS_PER_LOSS = 200
BOUNDS = {"small": 12 * (ENTRY_BYTES + 10), "large": 1_000_000}
_REWRITE = """
redis.call('DEL', KEYS[1])
redis.call('MSET', KEYS[1], ARGV[1], KEYS[2], ARGV[1])
"""


class Checker:
    """Says whether what lookups see could be what one MGET after the other would have seen.

    The two keys of a pair are always written together, with a number that only grows.

    Attributes:
        written: the highest number that a writer has begun to write, by pair.
        seen: the highest number that any lookup has seen, by pair.
        lookups: how many were checked.
        changes_seen: how often a lookup saw a pair with a new number.
    """

    def __init__(self) -> None:
        self.written = [0] * PAIRS
        self.seen = [0] * PAIRS
        self.lookups = 0
        self.changes_seen = 0

    async def look_up(self, store: RedisFeatureStore, rng: random.Random) -> None:
        """Looks up some keys at random, and checks what is found."""
        pairs = rng.sample(range(PAIRS), rng.randint(1, 4))
        keys = [f"{side}{pair}" for pair in pairs for side in rng.choice(("a", "b", "ab", "ba"))]
        before = [self.seen[pair] for pair in pairs]
        values = dict(zip(keys, await read_keys(store, *keys), strict=True))
        self.lookups += 1
        for pair, lowest in zip(pairs, before, strict=True):
            numbers = {int(values[key] or 0) for key in (f"a{pair}", f"b{pair}") if key in values}
            assert len(numbers) == 1, f"pair {pair} is mixed: {values}"
            (number,) = numbers
            assert lowest <= number <= self.written[pair], f"pair {pair}"
            self.changes_seen += number > self.seen[pair]
            self.seen[pair] = max(self.seen[pair], number)


def write(url: str, checker: Checker, pairs: range, rng: random.Random) -> None:
    """Writes pairs that nobody else writes, over a connection of its own."""
    with redis.Redis.from_url(url) as client:
        for _ in range(WRITES):
            pair = rng.choice(pairs)
            checker.written[pair] += 1
            number = str(checker.written[pair])
            if rng.random() < 0.9:
                client.mset({f"a{pair}": number, f"b{pair}": number})
            else:
                client.eval(_REWRITE, 2, f"a{pair}", f"b{pair}", number)


async def lose_connection(client: redis.asyncio.Redis) -> int:
    """Has Redis end the connection that looks up, if there is one; returns how many it ended."""
    return sum(
        [
            await client.client_kill_filter(_id=one["id"])
            for one in await client.client_list()
            if one["name"] == "tailrace-features"
        ]
    )


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("kills", [False, True], ids=["undisturbed", "with lost connections"])
async def test_lookups_beside_writers_never_mix_never_go_back_and_end_at_the_last_value(
    open_store: OpenStore, fresh_redis: LocalRedis, bound: str, kills: bool
) -> None:
    url = fresh_redis.url
    cache = KeyCache(BOUNDS[bound], 60.0)
    store = open_store(url, cache)
    client = redis.asyncio.Redis.from_url(url)
    checker = Checker()
    writing = True
    failed = lost = 0

    async def look_up_without_pause(seed: int) -> None:
        nonlocal failed, lost
        rng = random.Random(seed)
        while writing:
            try:
                await checker.look_up(store, rng)
            except Unavailable:
                failed += 1
            if kills and checker.lookups % LOOKUPS_PER_LOSS == 0:
                lost += await lose_connection(client)
            assert cache.bytes <= BOUNDS[bound]
            await asyncio.sleep(0)

    readers = [asyncio.create_task(look_up_without_pause(seed)) for seed in range(READERS)]
    half = PAIRS // 2
    await asyncio.gather(
        asyncio.to_thread(write, url, checker, range(half), random.Random(100)),
        asyncio.to_thread(write, url, checker, range(half, PAIRS), random.Random(101)),
    )
    writing = False
    await asyncio.gather(*readers)
    await client.aclose()
    await reconnected(store)  # and what was told of the last writes is taken by now
    for pair in range(PAIRS):
        expected = str(checker.written[pair]).encode()
        assert await read_keys(store, f"a{pair}", f"b{pair}") == [expected] * 2
    assert checker.changes_seen > PAIRS, "the lookups ran beside the writers"
    assert (cache.evictions > 0) == (bound == "small")
    assert (lost > 0) == kills
    # A connection on which nobody waited is lost without harm.
    assert not failed or lost


@pytest.mark.parametrize("seed", range(4))
async def test_once_changes_are_told_answers_equal_those_without_a_cache(
    open_store: OpenStore, fresh_redis: LocalRedis, seed: int
) -> None:
    rng = random.Random(seed)
    bound = rng.choice(list(BOUNDS.values()))
    cache = KeyCache(bound, 60.0)
    cached = open_store(fresh_redis.url, cache)
    plain = open_store(fresh_redis.url, None)
    keys = [f"k{number}" for number in range(30)]
    hits = 0
    async with redis.asyncio.Redis.from_url(fresh_redis.url) as client:
        for step in range(400):
            some = rng.sample(keys, rng.randint(1, 6))
            action = rng.random()
            if action < 0.2:
                await client.mset({key: f"{step} {key}" for key in some})
            elif action < 0.3:
                await client.delete(*some)
            elif action < 0.31:
                await client.flushdb()
            elif action < 0.33:
                await client.rename(some[0], some[-1]) if await client.exists(some[0]) else None
            elif action < 0.35:
                await client.append(some[0], "more")
            await cached.ping(1.0)
            wanted = rng.sample(keys, rng.randint(1, 10))
            hits += sum(key in cache for key in wanted)
            assert await read_keys(cached, *wanted) == await read_keys(plain, *wanted)
            assert cache.bytes <= bound
    assert hits > 200, "the cache had a part in it"
