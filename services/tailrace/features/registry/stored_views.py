"""What the registry reads of the feature store, over connections of its own.

They are apart from those of lookups, so that a scan never holds one up, and are opened when they
are first used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.pointer import KeyNames
from tailrace.features.redis_link import RedisLink
from tailrace.features.row_source import RowSource
from tailrace.features.store import FeatureStore, ViewRows
from tailrace.runtime.errors import Reason, Unavailable

ANSWER_TIMEOUT_S = 1.0
"""How long the store may take to answer a PING."""
READ_TIMEOUT_S = 10.0
"""How long one reading may take, whatever the caller waits."""
MAX_SCANNED = 2_000_000
"""Most keys of the store that one scan passes."""

# Redis does nothing else meanwhile: some 0.2 ms.
_SCAN_COUNT = 500
_POINTERS_AT_ONCE = 500
_GLOB = re.compile(r"[*?\[\]\\^]")


@dataclass(frozen=True, slots=True)
class EntityScan:
    """Entities of a windowed view, as a scan came upon them.

    Attributes:
        keys: their keys, as stored.
        complete: whether there are no others.
    """

    keys: list[str]
    complete: bool


class StoredViews:
    """Reads pointers, statistics and rows."""

    def __init__(self, url: str, prefix: str, store: FeatureStore) -> None:
        """Keeps the parts; nothing is connected yet.

        Args:
            url: as `RedisLink` takes it.
            prefix: what all keys begin with.
            store: reads rows; closed with this one. One without a cache, which would only know
                what others have read, and one that no lookup waits for.

        Raises:
            ValueError: the URL cannot be used.
        """
        self._link = RedisLink(url, client_name="tailrace-registry")
        self._store = store
        self._names = KeyNames(prefix)

    async def pointers(self, views: Sequence[str]) -> list[bytes | None]:
        """Returns the pointer of each view as it is stored; None if there is none.

        Raises:
            Unavailable: the store cannot be reached, does not answer or cannot serve.
        """
        found: list[bytes | None] = []
        async with self._link_answering():
            for start in range(0, len(views), _POINTERS_AT_ONCE):
                names = views[start : start + _POINTERS_AT_ONCE]
                found += await self._link.call("MGET", *map(self._names.pointer, names))
        return found

    async def statistics(self, view: str) -> tuple[bytes | None, bytes | None]:
        """Returns pointer and statistics of a view as they are stored, of one moment.

        Raises:
            Unavailable: as `pointers`.
        """
        async with self._link_answering():
            pointer, statistics = await self._link.call(
                "MGET", self._names.pointer(view), self._names.statistics(view)
            )
        return pointer, statistics

    async def entities(self, view: str, generation: int, limit: int) -> EntityScan:
        """Returns the keys of some entities of a windowed view, at most `limit`.

        SCAN goes by a hash of the names, so that which entities come first has nothing to do
        with what is stored of them.

        Raises:
            Unavailable: as `pointers`.
        """
        base = self._names.windows(view, generation)
        # The name of a head ends where those of an entity's other keys go on.
        pattern = _GLOB.sub(r"\\\g<0>", base) + "*}"
        found: dict[bytes, None] = {}
        passed, cursor = 0, b"0"
        async with self._link_answering():
            while True:
                command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
                cursor, names = await self._link.call(*command)
                found.update(dict.fromkeys(names))
                passed += _SCAN_COUNT
                done = cursor == b"0"
                if done or len(found) >= limit or passed >= MAX_SCANNED:
                    break
        start = len(base.encode())
        keys = [name[start:-1].decode(errors="replace") for name in list(found)[:limit]]
        return EntityScan(keys, done and len(found) <= limit)

    async def read(
        self, source: RowSource, keys: Sequence[str | None], at_us: NDArray[np.int64]
    ) -> tuple[ViewRows, bool]:
        """Returns the stored rows of keys, and whether the view has a pointer.

        Args:
            source: of the view.
            keys: as `KeyEncoder` writes them.
            at_us: int64 [keys], the instants that features are wanted for.

        Raises:
            Unavailable: as `pointers`.
            FeaturesCorrupt: what the store says about the view cannot be read.
        """
        read = source.read(keys, at_us)
        await self._store.ping(ANSWER_TIMEOUT_S)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                (found,) = await self._store.read([read])
        except TimeoutError as error:
            raise _silent() from error
        return found, read.has_pointer

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(self._link.close(), self._store.close())

    @asynccontextmanager
    async def _link_answering(self) -> AsyncIterator[None]:
        """Makes sure that the store answers, and bounds what is done inside of the block."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._link.call("PING")
            async with asyncio.timeout(READ_TIMEOUT_S):
                yield
        except TimeoutError as error:
            # Whatever else waits behind the same silence fails now, and the next call connects.
            self._link.reset("no answer")
            raise _silent() from error


def _silent() -> Unavailable:
    return Unavailable(
        "the feature store did not answer in time", reason=Reason.FEATURE_STORE_UNAVAILABLE
    )
