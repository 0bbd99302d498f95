"""Reads keys as they are, by the real store: the simplest kind of view there could be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest_asyncio

from tailrace.features.key_cache import KeyCache
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.store import Command, FeatureStore
from tailrace.runtime.errors import Unavailable

OpenStore = Callable[[str, KeyCache | None], RedisFeatureStore]


@dataclass(frozen=True)
class KeysRead:
    """Keys to read, named in full, and commands to send beside them. A `ViewRead`, and its `Fetch`.

    Attributes:
        keys: see above.
        commands: see above; their replies come after the values.
    """

    keys: Sequence[str]
    commands: Sequence[Command] = ()
    view: ClassVar[str] = "keys"
    has_pointer: ClassVar[bool] = False

    def fetch(self, names: KeyNames, pointer: Pointer | None) -> KeysRead:
        """Returns itself."""
        return self

    def rows(self, values: Sequence[bytes | None], replies: Sequence[Any]) -> Sequence[Any]:
        """Returns values and replies."""
        return [*values, *replies]


async def read_keys(store: FeatureStore, *keys: str) -> list[bytes | None]:
    """Returns the values of keys."""
    return list((await store.read([KeysRead(keys)]))[0].rows)


async def reconnected(store: RedisFeatureStore) -> None:
    """Returns once the store answers again after its connection was killed."""
    while True:
        try:
            await store.ping(1.0)
        except Unavailable:
            continue
        return


@pytest_asyncio.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    """Opens stores at a URL, with a cache or without, and closes them after the test."""
    stores: list[RedisFeatureStore] = []

    def open_one(url: str, cache: KeyCache | None) -> RedisFeatureStore:
        stores.append(RedisFeatureStore(url, prefix="test", cache=cache))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()
