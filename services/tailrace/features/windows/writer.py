"""Writes events into the windowed views that are kept in Redis."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.features.pointer import KeyNames
from tailrace.features.redis_errors import RedisRefused
from tailrace.features.redis_link import Argument, RedisLink
from tailrace.features.windows.generations import OpenGeneration, open_generation
from tailrace.features.windows.schema import WindowSchema
from tailrace.features.windows.script import (
    NO_VALUE,
    SCHEMA_CHANGED,
    WindowScript,
    window_script,
)
from tailrace.features.windows.updates import Applied, Outcome, Update
from tailrace.runtime.errors import FeaturesCorrupt, Reason, SchemaChanged, Unavailable

EVENTS_PER_SCRIPT = 64
"""Most events of one entity in one step: others wait for Redis meanwhile."""

_COMMANDS_PER_WRITE = 256
_MAX_GENERATIONS = 5
_LENGTH = struct.Struct("<I")
_ABSENT = _LENGTH.pack(NO_VALUE)
_OUTCOMES = {ord(str(outcome.value)): outcome for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class _Call:
    """Events of one entity, to be applied in one step.

    Attributes:
        key: of the entity.
        places: of its events among all updates.
        arguments: of the script, after its key.
    """

    key: str
    places: list[int]
    arguments: tuple[Argument, ...]


class _View:
    """A view that is written to."""

    def __init__(self, schema: WindowSchema) -> None:
        self.schema = schema
        self.script: WindowScript = window_script(schema)
        self._numbers = struct.Struct(f"<{1 + len(schema.inputs)}d").pack
        self._has_texts = bool(schema.distinct_inputs)

    def rounds(self, updates: Sequence[Update], now_ms: int) -> Iterator[list[_Call]]:
        """Yields the calls for all updates: in each round, every entity at most once."""
        places_by_key: dict[str, list[int]] = {}
        for place, update in enumerate(updates):
            places = places_by_key.get(update.key)
            if places is None:
                places_by_key[update.key] = [place]
            else:
                places.append(place)
        while places_by_key:
            calls = [
                self._call(key, places[:EVENTS_PER_SCRIPT], updates, now_ms)
                for key, places in places_by_key.items()
            ]
            yield calls
            places_by_key = {
                key: places[EVENTS_PER_SCRIPT:]
                for key, places in places_by_key.items()
                if len(places) > EVENTS_PER_SCRIPT
            }

    def _call(self, key: str, places: list[int], updates: Sequence[Update], now_ms: int) -> _Call:
        pack = self._numbers
        if len(places) == 1:
            update = updates[places[0]]
            numbers, ids = pack(update.event_time_us, *update.values), update.event_id
        else:
            chosen = [updates[place] for place in places]
            numbers = b"".join([pack(each.event_time_us, *each.values) for each in chosen])
            ids = b"".join([each.event_id for each in chosen])
        if not self._has_texts:
            return _Call(key, places, (now_ms, numbers, ids))
        texts: list[bytes] = []
        for place in places:
            for text in updates[place].distinct:
                texts += (_ABSENT,) if text is None else (_LENGTH.pack(len(text)), text)
        return _Call(key, places, (now_ms, numbers, ids, b"".join(texts)))


class RedisWindowWriter:
    """Writes events into windowed views in Redis. See `WindowWriter` for the contract."""

    def __init__(
        self, link: RedisLink, prefix: str, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """Keeps the parts.

        Args:
            link: to Redis.
            prefix: what all keys begin with.
            clock_ns: the wall clock, nanoseconds since 1970; entities expire by it.
        """
        self._link = link
        self._names = KeyNames(prefix)
        self._clock_ns = clock_ns
        self._views: dict[str, _View] = {}
        self._generations: dict[str, OpenGeneration] = {}

    async def open(self, schema: WindowSchema) -> None:
        """Looks which generation of a view counts, and makes the first where there is none.

        `apply` does so by itself.

        Raises:
            SchemaChanged: what is stored was made by another definition of the view.
            FeaturesCorrupt: what is stored about the view cannot be read.
            Unavailable: the store cannot be reached or cannot serve.
        """
        self._generations.pop(schema.view, None)
        self._generations[schema.view] = await open_generation(self._link, self._names, schema)

    async def apply(self, schema: WindowSchema, updates: Sequence[Update]) -> list[Applied]:
        """Applies events and returns what became of each. See `WindowWriter.apply`."""
        view = self._views.get(schema.view)
        if view is None or view.schema != schema:
            view = self._views[schema.view] = _View(schema)
            self._generations.pop(schema.view, None)
        for _ in range(_MAX_GENERATIONS):
            if schema.view not in self._generations:
                await self.open(schema)
            outcomes = await self._apply_once(view, updates, self._generations[schema.view])
            if outcomes is not None:
                return outcomes
            # Another generation counts now: there, none of these events is known.
            self._generations.pop(schema.view, None)
        raise Unavailable(
            f"view {schema.view!r} changes faster than events can be written",
            reason=Reason.FEATURE_STORE_UNAVAILABLE,
        )

    async def _apply_once(
        self, view: _View, updates: Sequence[Update], generation: OpenGeneration
    ) -> list[Applied] | None:
        """Returns what became of each event, or None if its generation no longer counts."""
        outcomes: list[Applied] = [Outcome.APPLIED] * len(updates)
        name = view.schema.view
        pointer_key = self._names.pointer(name)
        base = self._names.windows(name, generation.pointer.generation)
        for calls in view.rounds(updates, self._clock_ns() // 1_000_000):
            replies, data = await self._run(view.script, base, calls, pointer_key)
            for call, reply in zip(calls, replies, strict=True):
                if reply[:1] == b"!":
                    fault = _fault(view.schema, reply)
                    for place in call.places:
                        outcomes[place] = fault
                    continue
                for place, digit in zip(call.places, reply, strict=True):
                    outcomes[place] = _OUTCOMES[digit]
            if data != generation.data:
                return None
        return outcomes

    async def _run(
        self, script: WindowScript, base: str, calls: Sequence[_Call], pointer_key: str
    ) -> tuple[list[bytes], bytes | None]:
        """Returns the script's answer to every call, and the pointer as it was after the last."""
        commands: list[tuple[Argument, ...]] = [
            ("EVALSHA", script.digest, 1, f"{base}{call.key}}}", *call.arguments) for call in calls
        ]
        # Last: then all events were written while it said what it says.
        get_pointer = ("GET", pointer_key)
        *replies, data = await self._send([*commands, get_pointer])
        unknown = [place for place, reply in enumerate(replies) if _is_unknown_script(reply)]
        if unknown:
            await self._link.call("SCRIPT", "LOAD", script.source)
            *again, data = await self._send([*[commands[place] for place in unknown], get_pointer])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        for reply in (*replies, data):
            if isinstance(reply, RedisRefused):
                raise reply
        return replies, data

    async def _send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """Returns the reply to each command, or the RedisRefused that it got."""
        if len(commands) <= _COMMANDS_PER_WRITE:
            return await self._link.call_each(commands)
        writes: list[asyncio.Task[list[Any]]] = []
        try:
            for start in range(0, len(commands), _COMMANDS_PER_WRITE):
                part = commands[start : start + _COMMANDS_PER_WRITE]
                writes.append(asyncio.create_task(self._link.call_each(part)))
                # So that Redis begins while the next are being packed.
                await asyncio.sleep(0)
            return [reply for part in await asyncio.gather(*writes) for reply in part]
        finally:
            for write in writes:
                write.cancel()


def _is_unknown_script(reply: object) -> bool:
    return isinstance(reply, RedisRefused) and reply.error_code == "NOSCRIPT"


def _fault(schema: WindowSchema, word: bytes) -> FeaturesCorrupt | SchemaChanged:
    field = f"features.{schema.view}"
    if word == SCHEMA_CHANGED:
        return SchemaChanged(
            f"the entity is stored under another definition of view {schema.view!r}: it needs a "
            f"new generation: `tailrace features reset {schema.view}`",
            field=field,
        )
    return FeaturesCorrupt(
        f"what is stored of the entity in view {schema.view!r} cannot be read", field=field
    )
