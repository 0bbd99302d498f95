"""Values of keys as they were last read: bounded in bytes, the least recently used leave first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

# The value, None where there was none; when it was read, in seconds of the monotonic clock; and
# how many bytes it counts for.
Entry = tuple[bytes | None, float, int]

# What CPython 3.11 takes for an entry beside the characters of its key and the bytes of its
# value: both objects' heads (49 and 33), the tuple (80), its number (32), and the dictionary's
# node and slots. Measured as a whole with tracemalloc: 280 to 320, by how full the slots are.
ENTRY_BYTES = 344
_BYTES_PER_CHARACTER = 8  # where a key is not ASCII: as it is, and in UTF-8


class KeyCache:
    """Keeps values by key; not for several threads."""

    def __init__(
        self,
        max_bytes: int,
        ttl_s: float,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes it empty.

        Args:
            max_bytes: most bytes that all entries may count for.
            ttl_s: how long an entry is used after it was read, in seconds.
            now_s: a clock that never steps back, in seconds.
        """
        self.bytes = 0
        self.evictions = 0
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._now_s = now_s
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def __len__(self) -> int:
        """Returns the number of entries."""
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        """Returns whether there is an entry, however old; it does not count as use."""
        return key in self._entries

    def find(self, keys: Sequence[str]) -> list[Entry | None]:
        """Returns the entry of each key, None where there is none that may be used."""
        oldest = self._now_s() - self._ttl_s
        get, touch = self._entries.get, self._entries.move_to_end
        found: list[Entry | None] = []
        for key in keys:
            entry = get(key)
            if entry is not None:
                if entry[1] > oldest:
                    touch(key)
                else:
                    self.drop(key)
                    entry = None
            found.append(entry)
        return found

    def holds(self, entries: Mapping[str, Entry]) -> bool:
        """Returns whether these entries, found before, are all still here."""
        get = self._entries.get
        return all(get(key) is entry for key, entry in entries.items())

    def put(self, keys: Sequence[str], values: Sequence[bytes | None]) -> None:
        """Keeps values that were read just now, at the cost of those least recently used.

        A value that is larger than the bound is not kept.
        """
        now_s = self._now_s()
        entries, max_bytes = self._entries, self._max_bytes
        for key, value in zip(keys, values, strict=True):
            if key in entries:
                self.drop(key)
            size = ENTRY_BYTES + len(key) if key.isascii() else _size_of_other(key)
            if value is not None:
                size += len(value)
            if size <= max_bytes:
                entries[key] = (value, now_s, size)
                self.bytes += size
        while self.bytes > max_bytes:
            _, entry = entries.popitem(last=False)
            self.bytes -= entry[2]
            self.evictions += 1

    def drop(self, key: str) -> bool:
        """Forgets a key; returns whether there was an entry."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.bytes -= entry[2]
        return True

    def clear(self) -> None:
        """Forgets all."""
        self._entries.clear()
        self.bytes = 0


def _size_of_other(key: str) -> int:
    return ENTRY_BYTES + _BYTES_PER_CHARACTER * len(key)
