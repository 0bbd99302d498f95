"""A windowed view in a real Redis: its writer, its store, and what a lookup makes of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tailrace.features.codec import DecodedRows
from tailrace.features.pointer import KeyNames
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.windows.schema import WindowSchema, window_schema
from tailrace.features.windows.updates import Applied, Update
from tailrace.features.windows.window_rows import WindowRows
from tailrace.features.windows.writer import RedisWindowWriter
from tailrace.runtime.pipeline.feature_view import FeatureView

Shown = dict[str, Any]


def windowed_view(
    features: Mapping[str, Mapping[str, Any]],
    *,
    tile: str = "1m",
    lateness: str = "1h",
    name: str = "v",
    **parts: Any,
) -> FeatureView:
    """Returns a view of the event type `ev` whose key is the string `id`.

    Args:
        features: the aggregate of each feature by name; `type` in it is the feature's, else
            float64.
        tile: of the view.
        lateness: of the view.
        name: of the view.
        parts: other parts of the file.
    """
    listed = []
    for feature, aggregate in features.items():
        described = dict(aggregate)
        type_name = described.pop("type", "float64")
        listed.append({"name": feature, "type": type_name, "aggregate": described})
    source = {"type": "events", "event": "ev", "tile": tile, "lateness": lateness}
    content = {"view": name, "entity": "e", "keys": [{"name": "id"}], "features": listed}
    return FeatureView.model_validate({**content, "source": source, **parts})


@dataclass
class WindowWorld:
    """A windowed view and what reads and writes it.

    Attributes:
        now_ms: the writer's wall clock, milliseconds since 1970.
    """

    view: FeatureView
    schema: WindowSchema
    link: RedisLink
    names: KeyNames
    writer: RedisWindowWriter
    store: RedisFeatureStore
    rows: WindowRows
    now_ms: int

    async def apply(self, updates: Sequence[Update]) -> list[Applied]:
        """Applies events and returns what became of each."""
        return await self.writer.apply(self.schema, updates)

    async def decode(
        self, keys: Sequence[str], at_us: Sequence[int]
    ) -> tuple[DecodedRows | None, list[int]]:
        """Returns what is found of keys at instants, and which of them are stored at all."""
        instants = np.array(at_us, np.int64)
        (found,) = await self.store.read([self.rows.read(keys, instants)])
        places = [place for place, row in enumerate(found.rows) if row is not None]
        if not places:
            return None, []
        return self.rows.decode([found.rows[place] for place in places], instants[places]), places

    async def look_up(self, keys: Sequence[str], at_us: Sequence[int]) -> list[Shown | None]:
        """Returns the features of each key at its instant; None for a missing entity."""
        decoded, places = await self.decode(keys, at_us)
        shown: list[Shown | None] = [None] * len(keys)
        if decoded is None:
            return shown
        assert not decoded.corrupt, decoded.corrupt
        for number, place in enumerate(places):
            if decoded.absent is not None and decoded.absent[number]:
                continue
            row: Shown = {}
            for group, values in zip(self.rows.schema.groups, decoded.values, strict=True):
                for column, name in enumerate(group.names):
                    feature = group.start + column
                    present = decoded.validity is None or decoded.validity[feature, number]
                    row[name] = values[column, number].item() if present else None
            shown[place] = row
        return shown

    async def not_kept(self, key: str, at_us: int) -> tuple[set[str], int | None]:
        """Returns the features that cannot be told of a key, and since when all of them can be."""
        decoded, _ = await self.decode([key], [at_us])
        if decoded is None or decoded.not_kept is None:
            return set(), None
        names = [name for group in self.rows.schema.groups for name in group.names]
        lost = decoded.not_kept.features[:, 0].tolist()
        found = {name for name, is_lost in zip(names, lost, strict=True) if is_lost}
        return found, int(decoded.not_kept.earliest_us[0])

    async def keys(self, pattern: str = "*") -> list[bytes]:
        """Returns the names of all keys in Redis, sorted."""
        return sorted(await self.link.call("KEYS", pattern))

    def entity_key(self, key: str, suffix: str = "", generation: int = 1) -> str:
        """Returns the name of one of an entity's keys."""
        return f"{self.names.windows(self.view.view, generation)}{key}}}{suffix}"


@asynccontextmanager
async def window_world(
    url: str, view: FeatureView, *, prefix: str = "test"
) -> AsyncIterator[WindowWorld]:
    """Gives a windowed view in the Redis at `url`."""
    link = RedisLink(url, client_name="tests")
    store = RedisFeatureStore(url, prefix=prefix)
    schema = window_schema(view)
    names = KeyNames(prefix)
    now_ms = time.time_ns() // 1_000_000
    world = WindowWorld(
        view=view,
        schema=schema,
        link=link,
        names=names,
        writer=RedisWindowWriter(link, prefix, clock_ns=lambda: world.now_ms * 1_000_000),
        store=store,
        rows=WindowRows(view),
        now_ms=now_ms,
    )
    try:
        yield world
    finally:
        await link.close()
        await store.close()
