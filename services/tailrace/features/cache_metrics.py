"""What the cache of feature lookups does, in numbers."""

from __future__ import annotations

from prometheus_client import Gauge

from tailrace.features.key_cache import KeyCache
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.counter import Counter

HITS = Counter(names.FEATURE_CACHE_HITS_TOTAL, "Keys that lookups found in the cache.").labels()
MISSES = Counter(names.FEATURE_CACHE_MISSES_TOTAL, "Keys that lookups with a cache read.").labels()
INVALIDATIONS = Counter(
    names.FEATURE_CACHE_INVALIDATIONS_TOTAL, "Entries removed because Redis told of a change."
).labels()
EVICTIONS = Counter(
    names.FEATURE_CACHE_EVICTIONS_TOTAL, "Entries removed to keep the cache within its bound."
).labels()
BYTES = Gauge(names.FEATURE_CACHE_BYTES, "Bytes that the entries of the cache count for.")
ENTRIES = Gauge(names.FEATURE_CACHE_ENTRIES, "Entries of the cache.")


class CacheAccount:
    """Tells what becomes of one cache; those of a process add up."""

    def __init__(self, cache: KeyCache) -> None:
        """Begins with the cache as it is, which is empty."""
        self._cache = cache
        self._bytes = 0
        self._entries = 0
        self._evictions = 0

    def looked_up(self, *, hits: int, misses: int) -> None:
        """Counts the keys of one lookup."""
        if hits:
            HITS.inc(hits)
        if misses:
            MISSES.inc(misses)

    def invalidated(self, entries: int) -> None:
        """Counts entries that Redis told of."""
        if entries:
            INVALIDATIONS.inc(entries)
            self.settle()

    def settle(self) -> None:
        """Tells how large the cache is now; call after it has changed."""
        cache = self._cache
        EVICTIONS.inc(cache.evictions - self._evictions)
        BYTES.inc(cache.bytes - self._bytes)
        ENTRIES.inc(len(cache) - self._entries)
        self._evictions, self._bytes, self._entries = cache.evictions, cache.bytes, len(cache)
