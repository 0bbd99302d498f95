"""Reads keys by way of a cache that Redis keeps right.

Redis tells of each key that this connection has read when it changes. One connection reads all
and is told all, in one order: that in which Redis executed the reads and the changes. Replies
and what is told are taken in that order, at the moment they arrive. So at any time

- the cache holds what Redis held at one instant, that of the last message taken: what changed
  before it has been told, and the entry is gone. A lookup whose keys are all here is answered as
  one MGET at that instant would have been: a pointer that is here names rows that were there;
- a reply is as new as all that was told before it. A lookup that reads some of its keys and finds
  the others here looks, when the reply is taken, whether those are still here. If so, the answer
  is again that of one MGET of all; if not, it reads all.

With several connections, one could be told of a change before another takes an older reply, and a
key would go back in time. One is as fast as several (docs/measurements.md, "Feature lookups").

Pointers are read anew whenever anything is read, so that rows and pointers fit together even
where a server tells of changes later than it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from tailrace.features import cache_metrics as metrics
from tailrace.features.key_cache import Entry, KeyCache
from tailrace.features.lookup_replies import told_apart
from tailrace.features.read_span import CacheTally
from tailrace.features.redis_link import RedisLink
from tailrace.features.store import Command

_log = structlog.get_logger(__name__)


class CachedReads:
    """Reads keys, from the cache where it can. A `KeyTracker`.

    Attributes:
        link: the connection that reads.
        active: whether Redis tells of changes; without that, nothing is cached.
    """

    def __init__(self, url: str, *, client_name: str, cache: KeyCache) -> None:
        """Keeps the address; nothing is connected yet.

        Args:
            url: as `RedisLink` takes it.
            client_name: what Redis lists the connection under.
            cache: to keep values in.

        Raises:
            ValueError: the URL cannot be used.
        """
        self.link = RedisLink(url, client_name=client_name, tracker=self)
        self.active = False
        self._cache = cache
        self._account = metrics.CacheAccount(cache)
        self._refused = False

    async def read(
        self,
        keys: Sequence[str],
        first_pointer: int,
        commands: Sequence[Command],
        tally: CacheTally | None = None,
    ) -> tuple[Sequence[bytes | None], Sequence[Any]]:
        """Returns the values of keys, as of one instant, and the replies to commands.

        Args:
            keys: keys to read; those from `first_pointer` on are pointers.
            first_pointer: see `keys`.
            commands: sent in the same write, and never cached.
            tally: is told what was found in the cache, if given.

        Raises:
            Unavailable: as `RedisLink.call_many`.
        """
        if not self.active:
            # Also at first: the connection is made by this call.
            return await self._read_all(keys, commands)
        entries = self._cache.find(keys)
        if None not in entries and not commands:
            self._account.looked_up(hits=len(keys), misses=0)
            if tally is not None:
                tally.hits = len(keys)
            return [entry[0] for entry in entries if entry is not None], ()
        used: dict[str, Entry] = {}
        asked: list[str] = []
        for place, (key, entry) in enumerate(zip(keys, entries, strict=True)):
            if entry is None or place >= first_pointer:
                asked.append(key)
            else:
                used[key] = entry
        self._account.looked_up(hits=len(used), misses=len(asked))
        if not used:
            return await self._read_all(keys, commands)
        fresh, replies, fits = await self._read_some(asked, commands, used)
        if not fits:
            return await self._read_all(keys, commands)
        if tally is not None:
            tally.hits = len(used)
        by_key = dict(zip(asked, fresh, strict=True))
        return [used[key][0] if key in used else by_key[key] for key in keys], replies

    async def _read_all(
        self, keys: Sequence[str], commands: Sequence[Command]
    ) -> tuple[Sequence[bytes | None], Sequence[Any]]:
        values, replies, _ = await self._read_some(keys, commands, {})
        return values, replies

    async def _read_some(
        self, asked: Sequence[str], commands: Sequence[Command], used: dict[str, Entry]
    ) -> tuple[Sequence[bytes | None], Sequence[Any], bool]:
        """Returns values, replies, and whether the entries used fit to them."""
        if not asked:
            _, replies = told_apart((), await self.link.call_each(commands))
            return (), replies, self._cache.holds(used)
        fits = False

        def take(values: Sequence[bytes | None]) -> None:
            nonlocal fits
            fits = self._cache.holds(used)
            if self.active:
                self._cache.put(asked, values)
                self._account.settle()

        values, *replies = await self.link.call_each([("MGET", *asked), *commands], take)
        return *told_apart(values, replies), fits

    # -- KeyTracker ------------------------------------------------------------------------

    def tracking_began(self) -> None:
        """Caches from now on."""
        self.active = True
        if self._refused:
            self._refused = False
            _log.info("feature cache on: Redis tells of changed keys")

    def tracking_refused(self, problem: str) -> None:
        """Goes on without the cache."""
        if not self._refused:
            self._refused = True
            _log.warning("feature cache off: Redis does not tell of changed keys", problem=problem)

    def keys_changed(self, keys: Sequence[bytes] | None) -> None:
        """Forgets these keys; None: all."""
        cache = self._cache
        if keys is None:
            gone = len(cache)
            cache.clear()
        else:
            gone = sum([cache.drop(key.decode(errors="replace")) for key in keys])
        self._account.invalidated(gone)

    def tracking_ended(self) -> None:
        """Forgets all: whatever changes from now on is not told."""
        self.active = False
        self._cache.clear()
        self._account.settle()
