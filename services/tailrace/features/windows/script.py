"""The Lua script that applies events to one entity of a windowed view, written for the view.

The script gets the entity's head key and all of the entity's events of one batch, and answers
with a digit per event, an `Outcome`, or with `!` and a word: what is wrong with what is stored.
It is one step for Redis: nobody sees, and no crash leaves, half of it.

Redis refuses writes when it is full only as long as a script has written nothing. So the first
write is one that takes memory: then a script is refused as a whole, or not at all. It says why
only with the place in the script before it, which is taken off.

The names of all other keys follow from that of the head, and share its hash tag. They are not
given one by one: those of distinct values depend on event times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.features.windows.layout import (
    BLOCK_TILES,
    DAMAGED,
    IDS_KEPT_FROM,
    NEWEST,
    NUMBER_BYTES,
    PREFIX_BYTES,
    RENEWED,
    WindowLayout,
    has_blocks,
    window_layout,
)
from tailrace.features.windows.level_script import (
    blank_record,
    indented,
    level_lines,
    numbers_format,
    renewal_lines,
)
from tailrace.features.windows.schema import Statistic, WindowSchema
from tailrace.features.windows.updates import EVENT_ID_BYTES

SCHEMA_CHANGED = b"!schema"
DAMAGED_ENTITY = b"!damaged"
NO_VALUE = 0xFFFFFFFF
"""Length of a distinct value that an event has not."""

_US_PER_MS = 1000
# A clock that is moved by an hour must not let all entities expire.
_SLACK_MS = 2 * 3_600_000
_LEAST_IDS_US = 60_000_000


@dataclass(frozen=True, slots=True)
class WindowScript:
    """The script of one view.

    Attributes:
        source: in Lua.
        digest: SHA-1 of the source in hexadecimal, as EVALSHA wants it.
        life_ms: how long an entity is kept after it was last written, by the wall clock.
    """

    source: str
    digest: str
    life_ms: int


def window_script(schema: WindowSchema) -> WindowScript:
    """Returns the script of a view; the same for the same schema.

    Its one key is the head's. Its arguments:

        1  the wall clock, milliseconds since 1970, decimal
        2  per event, float64: event time, then the value of each input, NaN for none
        3  the ids of the events, 16 bytes each
        4  per event and distinct input: the value's length, uint32, NO_VALUE for none; the value
    """
    layout = window_layout(schema)
    life_ms = _life_ms(schema)
    lines = [
        *_prologue(schema, layout, life_ms),
        *_head(layout),
        *_events(schema, layout, life_ms),
        *_epilogue(schema, layout, life_ms),
    ]
    source = "\n".join(lines) + "\n"
    return WindowScript(source, hashlib.sha1(source.encode()).hexdigest(), life_ms)


def _life_ms(schema: WindowSchema) -> int:
    """Returns how long something may be read after it was written, and two hours."""
    longest_us = max(
        (level.retained_tiles + BLOCK_TILES * has_blocks(level)) * level.tile_us
        for level in schema.levels
    )
    return longest_us // _US_PER_MS + _SLACK_MS


def _others_life_ms(life_ms: int) -> int:
    # Put off once in an eighth of the head's life, and so never over before the head is.
    return life_ms + life_ms // 8 + 60_000


def _prologue(schema: WindowSchema, layout: WindowLayout, life_ms: int) -> Iterator[str]:
    # What is written is replicated and logged, and not the script: keys expire by the clock.
    yield f"""\
redis.replicate_commands()
local call, pack, unpack_numbers, unpack = redis.call, struct.pack, struct.unpack, unpack
local floor, sub, infinity = math.floor, string.sub, math.huge
local head_key = KEYS[1]
local ids_key = head_key .. ':i'
local now = tonumber(ARGV[1])
local numbers, ids, texts = ARGV[2], ARGV[3], ARGV[4]
local function damaged()
  call('SETRANGE', head_key, 0, '\\{DAMAGED}')
  return '{DAMAGED_ENTITY.decode()}'
end
local function refused(reply)
  return redis.error_reply(string.match(reply.err, '%u%u+ .*') or reply.err)
end
local s
local function load(data, format, at)
  local found = {{unpack_numbers(format, data)}}
  for place = 1, #found - 1 do s[at + place - 1] = found[place] end
end
local function find(data, size, tile)
  local low, high = 0, #data / size
  while low < high do
    local middle = floor((low + high) / 2)
    if unpack_numbers('<d', data, middle * size + 1) < tile then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end"""


def _head(layout: WindowLayout) -> Iterator[str]:
    prefix = "".join(f"\\{byte:03d}" for byte in layout.prefix)
    yield f"""\
local head = call('GET', head_key)
if head then
  if sub(head, 1, {PREFIX_BYTES}) ~= '{prefix}' then
    if sub(head, 1, 4) == '{prefix[:16]}' then return '{SCHEMA_CHANGED.decode()}' end
    return '{DAMAGED_ENTITY.decode()}'
  end
  if #head ~= {layout.head_bytes} then return '{DAMAGED_ENTITY.decode()}' end
  s = {{unpack_numbers('{numbers_format(layout.numbers)}', head, {PREFIX_BYTES + 1})}}
else"""
    others = ", ".join(f"head_key .. ':{number}'" for number in range(len(layout.levels)))
    blank = ["-infinity", "-infinity", "now"]
    for level in layout.levels:
        blank += ["0", "infinity", "-infinity", *blank_record(level)]
    yield f"""\
  -- The head goes first; what may be left of an earlier life is nobody's.
  local reply = redis.pcall('SET', head_key, '')
  if reply.err then return refused(reply) end
  call('DEL', ids_key, {others})
  s = {{{", ".join(blank)}}}
end"""


def _events(schema: WindowSchema, layout: WindowLayout, life_ms: int) -> Iterator[str]:
    event_numbers = 1 + len(schema.inputs)
    needs_tie = any(
        statistic in (Statistic.FIRST, Statistic.LAST)
        for level in schema.levels
        for _, statistic in level.statistics
    )
    yield f"""\
local outcomes, applied, text_at = {{}}, 0, 1
for number = 1, #ids / {EVENT_ID_BYTES} do
  local at = (number - 1) * {NUMBER_BYTES * event_numbers} + 1
  local e = {{unpack_numbers('{numbers_format(event_numbers)}', numbers, at)}}
  local time = e[1]
  local id = sub(ids, (number - 1) * {EVENT_ID_BYTES} + 1, number * {EVENT_ID_BYTES})"""
    yield from _read_texts(schema)
    yield f"""\
  if time < s[{NEWEST + 1}] - {schema.lateness_us} then
    outcomes[number] = '2'
  else
    local added = redis.pcall('ZADD', ids_key, 'NX', time, id)
    if added ~= 0 and added ~= 1 then return refused(added) end
    outcomes[number] = added == 1 and '0' or '1'
  end
  if outcomes[number] == '0' then
    applied = applied + 1
    if time > s[{NEWEST + 1}] then s[{NEWEST + 1}] = time end"""
    if needs_tie:
        yield "    local tie = unpack_numbers('>I6', id)"
    for number, level in enumerate(layout.levels):
        yield from indented(level_lines(number, level, _others_life_ms(life_ms)), 4)
    yield "  end\nend"


def _read_texts(schema: WindowSchema) -> Iterator[str]:
    if not schema.distinct_inputs:
        return
    yield f"""\
  local t = {{}}
  for input = 1, {len(schema.distinct_inputs)} do
    local length = unpack_numbers('<I4', texts, text_at)
    text_at = text_at + 4
    if length ~= {NO_VALUE} then
      t[input] = sub(texts, text_at, text_at + length - 1)
      text_at = text_at + length
    end
  end"""


def _epilogue(schema: WindowSchema, layout: WindowLayout, life_ms: int) -> Iterator[str]:
    slack_us = max(schema.lateness_us // 8, _LEAST_IDS_US)
    others_life = _others_life_ms(life_ms)
    newest, kept_from, renewed = NEWEST + 1, IDS_KEPT_FROM + 1, RENEWED + 1
    yield f"""\
if applied > 0 then
  local limit = s[{newest}] - {schema.lateness_us}
  if s[{kept_from}] == -infinity then
    s[{kept_from}] = limit
    call('PEXPIRE', ids_key, {others_life})
  elseif limit - s[{kept_from}] > {slack_us} then
    call('ZREMRANGEBYSCORE', ids_key, '-inf', string.format('(%.0f', limit))
    s[{kept_from}] = limit
  end
  if now < s[{renewed}] or now - s[{renewed}] > {life_ms // 8} then
    s[{renewed}] = now
    call('PEXPIRE', ids_key, {others_life})"""
    for number, level in enumerate(layout.levels):
        yield (
            f"    if s[{level.records_at + 1}] > 0 then"
            f" call('PEXPIRE', head_key .. ':{number}', {others_life}) end"
        )
        if level.level.distinct:
            yield from indented(renewal_lines(number, level, others_life), 4)
    prefix = "".join(f"\\{byte:03d}" for byte in layout.prefix)
    yield f"""\
  end
  head = '{prefix}' .. pack('{numbers_format(layout.numbers)}', unpack(s, 1, {layout.numbers}))
  call('SET', head_key, head, 'PX', {life_ms})
end
return table.concat(outcomes)"""
