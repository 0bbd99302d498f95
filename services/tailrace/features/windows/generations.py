"""Which generation of a windowed view counts: its pointer is made, renewed, and cleaned up after.

A windowed view has a pointer as a static one has. Its first generation begins with the first
event, and another one when a person says so, as after a change of its definition.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import RedisLink
from tailrace.features.windows.schema import WindowSchema
from tailrace.runtime.errors import FeaturesCorrupt, SchemaChanged

_SOURCE = "events"
_SCAN_COUNT = 1000
_REPLACE = """
if redis.call('GET', KEYS[1]) ~= (ARGV[1] ~= '' and ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class OpenGeneration:
    """The generation of a view that counts.

    Attributes:
        data: its pointer, as stored.
        pointer: the same, parsed.
    """

    data: bytes
    pointer: Pointer


async def open_generation(link: RedisLink, names: KeyNames, schema: WindowSchema) -> OpenGeneration:
    """Returns the generation of a view that counts; makes the first one where there is none.

    Raises:
        SchemaChanged: it was made by another definition of the view.
        FeaturesCorrupt: what is stored about the view cannot be read.
        Unavailable: the store cannot be reached or cannot serve.
    """
    key = names.pointer(schema.view)
    first = _pointer(schema, 1).to_json()
    data = await link.call("GET", key)
    if data is None:
        await link.call("SET", key, first, "NX")
        data = await link.call("GET", key) or first
    pointer = Pointer.from_json(schema.view, data)
    if pointer.schema_id != schema.schema_id:
        raise SchemaChanged(
            f"what is stored of view {schema.view!r} was made by another definition of it "
            f"({pointer.schema_id:08x}, now {schema.schema_id:08x}): it needs a new generation: "
            f"`tailrace features reset {schema.view}`",
            field=f"features.{schema.view}",
        )
    return OpenGeneration(data, pointer)


async def new_generation(link: RedisLink, names: KeyNames, schema: WindowSchema) -> Pointer:
    """Begins a new, empty generation of a view, which counts from now on, and returns its pointer.

    Writers that are at work turn to it by themselves. What they have acknowledged before is gone
    from the view; `remove_others` removes its keys, which else expire.

    Raises:
        Unavailable: the store cannot be reached or cannot serve.
    """
    key = names.pointer(schema.view)
    while True:
        data = await link.call("GET", key)
        pointer = _pointer(schema, _number_after(schema.view, data))
        if await link.call("EVAL", _REPLACE, 1, key, data or b"", pointer.to_json()):
            return pointer


async def remove_others(link: RedisLink, names: KeyNames, view: str, generation: int) -> int:
    """Removes all keys of a windowed view but those of one generation; returns how many.

    Raises:
        Unavailable: the store cannot be reached or cannot serve.
    """
    kept = names.windows(view, generation).encode()
    pattern = f"{names.all_windows(view)}*"
    removed, cursor = 0, b"0"
    while True:
        cursor, keys = await link.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
        gone = [key for key in keys if not key.startswith(kept)]
        if gone:
            removed += int(await link.call("UNLINK", *gone))
        if cursor == b"0":
            return removed


def _pointer(schema: WindowSchema, generation: int) -> Pointer:
    return Pointer(
        generation=generation,
        schema_id=schema.schema_id,
        rows=0,
        loaded_at_us=time.time_ns() // 1000,
        source=_SOURCE,
        digest="",
    )


def _number_after(view: str, data: bytes | None) -> int:
    if data is None:
        return 1
    try:
        return Pointer.from_json(view, data).generation + 1
    except FeaturesCorrupt:
        # Its number is unknown, so take one that no counting can have come to.
        return time.time_ns() // 1_000_000
