"""Reads feature rows from Redis: all views and rows of a lookup in one round trip.

One MGET carries the rows of every view, at the generations this process knows, and the
pointer of every view; what cannot be read by MGET is asked for by further commands in the same
write. Redis executes the MGET as one, so where a pointer still names the generation
that was read, all rows are of that generation and none can have been removed by a later load.
Where it names another, the lookup reads again. Measured against one MGET and one HMGET per
view in a pipeline: 86 µs against 113 µs for four views of one row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.features.cached_reads import CachedReads
from tailrace.features.key_cache import KeyCache
from tailrace.features.lookup_replies import told_apart
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.read_span import CacheTally, read_span
from tailrace.features.redis_link import RedisLink
from tailrace.features.store import Command, ViewRead, ViewRows
from tailrace.runtime.errors import Reason, Unavailable
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import process_tracing

# A view changes with a load, so a second reading is rare and a third next to impossible.
MAX_READINGS = 5


@dataclass(frozen=True, slots=True)
class _KnownPointer:
    """A pointer as last seen.

    Attributes:
        data: as stored.
        pointer: the same, parsed.
    """

    data: bytes
    pointer: Pointer


class RedisFeatureStore:
    """The feature store in Redis. See `FeatureStore` for the contract."""

    def __init__(
        self, url: str, *, prefix: str, connections: int = 1, cache: KeyCache | None = None
    ) -> None:
        """Keeps the address; nothing is connected yet.

        Args:
            url: as `RedisLink` takes it.
            prefix: what all keys begin with.
            connections: to share between concurrent lookups; with a cache, one reads all.
            cache: keeps what was read; None: every lookup reads.

        Raises:
            ValueError: the URL cannot be used.
        """
        name = "tailrace-features"
        self._cached = (
            CachedReads(url, client_name=name, cache=cache) if cache is not None else None
        )
        if self._cached is not None:
            self._links = [self._cached.link]
        else:
            self._links = [RedisLink(url, client_name=name) for _ in range(connections)]
        self._names = KeyNames(prefix)
        self._tracing = process_tracing()
        self._known: dict[str, _KnownPointer] = {}

    async def read(
        self, wanted: Sequence[ViewRead], trace: TraceContext | None = None
    ) -> list[ViewRows]:
        """Returns the rows of every view. See `FeatureStore.read`."""
        for _ in range(MAX_READINGS):
            rows = await self._read_once(wanted, trace)
            if rows is not None:
                return rows
        raise Unavailable(
            "the views change faster than they can be read",
            reason=Reason.FEATURE_STORE_UNAVAILABLE,
        )

    async def ping(self, timeout_s: float) -> None:
        """Returns if every connection answers. See `FeatureStore.ping`."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*[link.call("PING") for link in self._links])
        except TimeoutError as error:
            # Whatever waits behind the same silence fails now, not at its deadline.
            for link in self._links:
                link.reset("no answer to PING")
            raise Unavailable(
                f"the feature store did not answer within {timeout_s:g} s",
                reason=Reason.FEATURE_STORE_UNAVAILABLE,
            ) from error

    async def close(self) -> None:
        """Closes all connections."""
        await asyncio.gather(*[link.close() for link in self._links])

    async def _read_once(
        self, wanted: Sequence[ViewRead], trace: TraceContext | None
    ) -> list[ViewRows] | None:
        """Returns the rows, or None if a view has another generation than was read."""
        names = self._names
        known_by_view = [
            self._known.get(read.view) if read.has_pointer else None for read in wanted
        ]
        fetches = [
            read.fetch(names, known.pointer if known else None)
            if known or not read.has_pointer
            else None
            for read, known in zip(wanted, known_by_view, strict=True)
        ]
        keys: list[str] = []
        commands: list[Command] = []
        for fetch in fetches:
            if fetch is not None:
                keys += fetch.keys
                commands += fetch.commands
        pointed = [read.view for read in wanted if read.has_pointer]
        first_pointer = len(keys)
        keys += [names.pointer(view) for view in pointed]
        if trace is None:
            values, replies = await self._values(keys, first_pointer, commands)
        else:
            counts, address = (len(keys), len(commands)), self._links[0].address
            with read_span(self._tracing, trace, wanted, counts, address) as tally:
                values, replies = await self._values(keys, first_pointer, commands, tally)
        pointers = list(values[first_pointer:])
        # Seldom another one.
        if pointers != [
            known.data if known else None
            for read, known in zip(wanted, known_by_view, strict=True)
            if read.has_pointer
        ]:
            used = dict(zip([read.view for read in wanted], known_by_view, strict=True))
            if self._learn(dict(zip(pointed, pointers, strict=True)), used):
                return None
        found: list[ViewRows] = []
        value = reply = 0
        for read, known, fetch in zip(wanted, known_by_view, fetches, strict=True):
            if fetch is None:
                found.append(ViewRows(None, [None] * len(read.keys)))
                continue
            next_value, next_reply = value + len(fetch.keys), reply + len(fetch.commands)
            rows = fetch.rows(values[value:next_value], replies[reply:next_reply])
            value, reply = next_value, next_reply
            found.append(ViewRows(known.pointer if known else None, rows))
        return found

    async def _values(
        self,
        keys: Sequence[str],
        first_pointer: int,
        commands: Sequence[Command],
        tally: CacheTally | None = None,
    ) -> tuple[Sequence[bytes | None], Sequence[Any]]:
        if self._cached is not None:
            return await self._cached.read(keys, first_pointer, commands, tally)
        return await self._fetch(keys, commands)

    async def _fetch(
        self, keys: Sequence[str], commands: Sequence[Command]
    ) -> tuple[Sequence[bytes | None], Sequence[Any]]:
        """Returns the values of keys and the replies to commands, of one round trip."""
        link = self._links[0]
        if len(self._links) > 1:
            link = min(self._links, key=lambda link: link.waiting)
        if not commands:
            return (await link.call("MGET", *keys), ()) if keys else ((), ())
        if not keys:
            return told_apart((), await link.call_each(commands))
        values, *replies = await link.call_each([("MGET", *keys), *commands])
        return told_apart(values, replies)

    def _learn(
        self, pointers: Mapping[str, bytes | None], used: Mapping[str, _KnownPointer | None]
    ) -> bool:
        """Keeps the pointers; returns whether any names other rows than the one used to read."""
        changed = False
        for view, data in pointers.items():
            known = used[view]
            if data == (known.data if known else None):
                continue
            if data is None:
                changed = True
                self._known.pop(view, None)
                continue
            pointer = Pointer.from_json(view, data)
            self._known[view] = _KnownPointer(data, pointer)
            # Rows that are added to a generation, as a load of what is new does, change its
            # pointer, and not where its rows are.
            changed |= (
                known is None
                or known.pointer.generation != pointer.generation
                or known.pointer.schema_id != pointer.schema_id
            )
        return changed
