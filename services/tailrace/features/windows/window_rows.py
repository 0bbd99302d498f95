"""Windowed views: stored tiles of an entity, put together for the instant asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import DecodedRows
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.row_schema import row_schema
from tailrace.features.store import Command, Unreadable
from tailrace.features.windows.decoder import UNREADABLE, WindowDecoder
from tailrace.features.windows.layout import distinct_suffixes
from tailrace.features.windows.layout_group import Window
from tailrace.features.windows.record_table import StoredEntity
from tailrace.features.windows.schema import WindowFeature, WindowSchema, window_schema
from tailrace.runtime.pipeline.feature_view import FeatureView


class WindowRows:
    """How a windowed view is read. See `RowSource`."""

    def __init__(self, view: FeatureView) -> None:
        """Works out where every feature comes from."""
        self._windows = window_schema(view)
        self.schema = dataclasses.replace(row_schema(view), schema_id=self._windows.schema_id)
        self._decoder = WindowDecoder(self._windows, self.schema)

    def read(self, keys: Sequence[str | None], at_us: NDArray[np.int64]) -> WindowRead:
        """Returns what to read."""
        return WindowRead(self._windows, keys, at_us)

    def decode(self, rows: Sequence[Any], at_us: NDArray[np.int64]) -> DecodedRows:
        """Returns the rows as columns."""
        entities = [entity for entity, _ in rows]
        distinct = np.array([estimates for _, estimates in rows], np.float64).T
        return self._decoder.decode(entities, distinct, at_us)


class WindowRead:
    """Rows to read of a windowed view. See `ViewRead`."""

    has_pointer: ClassVar[bool] = True

    def __init__(
        self, schema: WindowSchema, keys: Sequence[str | None], at_us: NDArray[np.int64]
    ) -> None:
        """Keeps what to read; `at_us` are the instants of the rows."""
        self._schema = schema
        self._at_us = at_us
        self.view = schema.view
        self.keys = keys

    def fetch(self, names: KeyNames, pointer: Pointer | None) -> WindowFetch:
        """Returns the keys of all tiles, each once."""
        assert pointer is not None, "it has one"
        if pointer.schema_id != self._schema.schema_id:
            # None of it could be read.
            return WindowFetch(self._schema, [None] * len(self.keys), self._at_us, "")
        base = names.windows(self.view, pointer.generation)
        return WindowFetch(self._schema, self.keys, self._at_us, base)


class WindowFetch:
    """The keys of a windowed view's tiles. See `Fetch`."""

    def __init__(
        self,
        schema: WindowSchema,
        wanted: Sequence[str | None],
        at_us: NDArray[np.int64],
        base: str,
    ) -> None:
        """Keeps the keys wanted; `base` is what the names of all keys begin with."""
        self._wanted = wanted
        unique: dict[str | None, None] = dict.fromkeys(wanted)
        unique.pop(None, None)
        self._unique = unique
        suffixes = ["}", *[f"}}:{level}" for level in range(len(schema.levels))]]
        self._stride = len(suffixes)
        self.keys = [f"{base}{key}{suffix}" for key in unique for suffix in suffixes]
        self._replies: dict[Command, int] = {}
        self._estimates: list[list[int]] = []
        for feature in schema.features:
            if feature.aggregate.function == "distinct":
                self._count_distinct(schema, feature, at_us, base)
        self.commands: Sequence[Command] = list(self._replies)

    def rows(
        self, values: Sequence[bytes | None], replies: Sequence[Any]
    ) -> Sequence[tuple[StoredEntity, tuple[int, ...]] | None]:
        """Returns what is stored of every key wanted, and the estimates of distinct values."""
        stride = self._stride
        stored: dict[str | None, StoredEntity] = {}
        for place, key in enumerate(self._unique):
            head = values[place * stride]
            if head is not None:
                levels = values[place * stride + 1 : (place + 1) * stride]
                stored[key] = StoredEntity(head, levels)
        found: list[tuple[StoredEntity, tuple[int, ...]] | None] = []
        for row, key in enumerate(self._wanted):
            entity = stored.get(key)
            if entity is None:
                found.append(None)
            else:
                estimates = tuple(_estimate(replies[each[row]]) for each in self._estimates)
                found.append((entity, estimates))
        return found

    def _count_distinct(
        self, schema: WindowSchema, feature: WindowFeature, at_us: NDArray[np.int64], base: str
    ) -> None:
        level = schema.levels[feature.level]
        first, last = Window(feature.level, level.tile_us, feature.aggregate).edges(at_us)
        suffixes: dict[tuple[int, int], list[str]] = {}
        commands: list[int] = []
        for key, edges in zip(
            self._wanted, zip(first.tolist(), last.tolist(), strict=True), strict=True
        ):
            if key is None:
                commands.append(-1)
                continue
            ends = suffixes.get(edges)
            if ends is None:
                ends = suffixes[edges] = distinct_suffixes(level, *edges)
            start = f"{base}{key}}}:{feature.level}:{feature.input}:"
            command = ("PFCOUNT", *[f"{start}{end}" for end in ends])
            commands.append(self._replies.setdefault(command, len(self._replies)))
        self._estimates.append(commands)


def _estimate(reply: Any) -> int:
    return UNREADABLE if isinstance(reply, Unreadable) else int(reply)
