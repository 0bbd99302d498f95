"""The part of a view's Lua script that applies one event to one level. See `script`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from tailrace.features.windows.layout import (
    BLOCK_TILES,
    LevelLayout,
    blank_numbers,
    has_blocks,
)
from tailrace.features.windows.schema import Statistic

_TAIL_RECORDS = 16
_INFINITIES = {math.inf: "infinity", -math.inf: "-infinity"}


def level_lines(number: int, layout: LevelLayout, life_ms: int) -> Iterator[str]:
    """Yields the lines that apply the event `e` of id `id` to level `number`.

    They change `s`, the numbers of the head, and return from the script where the level's string
    is not what the head says.

    Args:
        number: of the level.
        layout: of the level.
        life_ms: how long the level's keys are kept, milliseconds.
    """
    tile = layout.record_at + 1
    record = f"pack('{numbers_format(layout.numbers)}', unpack(s, {tile}, {_last(layout)}))"
    yield f"""\
do
  local tile, newest = floor(time / {layout.level.tile_us}), s[{tile}]
  local key, put_back, at, rest
  if tile > newest then"""
    yield from indented(_shelve(number, layout, record, life_ms), 4)
    yield from indented(_blank(layout), 4)
    yield "  elseif tile < newest then"
    yield from indented(_take_out(number, layout, record), 4)
    yield "  end"
    yield from indented(_statistics(layout, tile), 2)
    yield from indented(_distinct(number, layout, life_ms), 2)
    yield f"""\
  if put_back then
    call('SETRANGE', key, at, {record} .. rest)
    if s[{layout.records_at + 1}] == 1 then call('PEXPIRE', key, {life_ms}) end
    load(put_back, '{numbers_format(layout.numbers)}', {tile})
  end
end"""


def renewal_lines(number: int, layout: LevelLayout, life_ms: int) -> Iterator[str]:
    """Yields the lines that put off expiry of the distinct values of the tiles that are kept.

    Args:
        number: of the level.
        layout: of the level; it keeps distinct values.
        life_ms: how long the level's keys are kept, milliseconds.
    """
    newest = layout.record_at + 1
    yield f"""\
do
  local data = (call('GET', head_key .. ':{number}') or '') .. pack('<d', s[{newest}])
  for at = 1, #data - 7, {layout.record_bytes} do
    local tile = unpack_numbers('<d', data, at)
    if tile > s[{newest}] - {layout.level.retained_tiles} then"""
    for number_of_input in layout.level.distinct:
        for key in _distinct_keys(layout):
            values = f"head_key .. ':{number}:{number_of_input}:' .. {key}"
            yield f"      call('PEXPIRE', {values}, {life_ms})"
    yield """\
    end
  end
end"""


def blank_record(layout: LevelLayout) -> list[str]:
    """Returns the numbers of a tile without values, but that of the tile, in Lua."""
    return [
        _INFINITIES.get(number, f"{number:g}")
        for _, statistic in layout.level.statistics
        for number in blank_numbers(statistic)
    ]


def numbers_format(numbers: int) -> str:
    """Returns how Lua's `struct` reads and writes so many numbers."""
    return "<" + "d" * numbers


def indented(parts: Iterable[str], spaces: int) -> Iterator[str]:
    """Yields lines, each moved to the right."""
    for part in parts:
        for line in part.split("\n"):
            yield " " * spaces + line


def _shelve(number: int, layout: LevelLayout, record: str, life_ms: int) -> Iterator[str]:
    """Yields how the newest record moves to the level's string, which loses what is too old.

    A string is cut once its first tile is a quarter too old, so that cutting costs little.
    """
    size, kept = layout.record_bytes, layout.level.retained_tiles
    records, oldest = layout.records_at + 1, layout.oldest_at + 1
    yield f"""\
if newest > -infinity then
  key = head_key .. ':{number}'
  s[{records}] = s[{records}] + 1
  if call('APPEND', key, {record}) ~= s[{records}] * {size} then return damaged() end
  if s[{records}] == 1 then
    s[{oldest}] = newest
    call('PEXPIRE', key, {life_ms})
  end
  if s[{oldest}] < tile - {kept + kept // 4} then
    local data = call('GET', key)
    local gone = find(data, {size}, tile - {kept})
    s[{records}] = s[{records}] - gone
    if s[{records}] == 0 then
      s[{oldest}] = infinity
      call('DEL', key)
    else
      data = sub(data, gone * {size} + 1)
      s[{oldest}] = unpack_numbers('<d', data)
      call('SET', key, data, 'PX', {life_ms})
    end
  end
end"""


def _take_out(number: int, layout: LevelLayout, record: str) -> Iterator[str]:
    """Yields how an older tile takes the place of the newest record, to be put back later."""
    size, records, oldest = layout.record_bytes, layout.records_at + 1, layout.oldest_at + 1
    yield f"""\
key = head_key .. ':{number}'
put_back = {record}
local count = s[{records}]
if call('STRLEN', key) ~= count * {size} then return damaged() end
local from = count > {_TAIL_RECORDS} and count - {_TAIL_RECORDS} or 0
local data = call('GETRANGE', key, from * {size}, -1)
if from > 0 and unpack_numbers('<d', data) > tile then
  from = 0
  data = call('GET', key)
end
local place = find(data, {size}, tile)
at = (from + place) * {size}
rest = sub(data, place * {size} + 1)
if rest ~= '' and unpack_numbers('<d', rest) == tile then
  load(rest, '{numbers_format(layout.numbers)}', {layout.record_at + 1})
  rest = ''
else
  s[{records}] = count + 1
  if tile < s[{oldest}] then s[{oldest}] = tile end"""
    yield from indented(_blank(layout), 2)
    yield "end"


def _blank(layout: LevelLayout) -> Iterator[str]:
    tile = layout.record_at + 1
    yield f"s[{tile}] = tile"
    for place, value in enumerate(blank_record(layout), tile + 1):
        yield f"s[{place}] = {value}"


def _last(layout: LevelLayout) -> int:
    return layout.record_at + layout.numbers


def _statistics(layout: LevelLayout, tile: int) -> Iterator[str]:
    """Yields how a value changes each statistic; `tile` is the place of the record in `s`."""
    inputs = sorted({number for number, _ in layout.level.statistics})
    for number in inputs:
        place = {
            statistic: tile + column
            for (of, statistic), column in layout.columns.items()
            if of == number
        }
        yield f"do\n  local x = e[{number + 2}]\n  if x == x then"
        yield from indented(_changes(place), 4)
        yield "  end\nend"


def _changes(place: dict[Statistic, int]) -> Iterator[str]:
    count, total = place.get(Statistic.COUNT), place.get(Statistic.SUM)
    if Statistic.M2 in place:
        m2 = place[Statistic.M2]
        # Welford (1962): the deviations from the mean before and after the value.
        yield (
            f"if s[{count}] > 0 then s[{m2}] = s[{m2}] + (x - s[{total}] / s[{count}])"
            f" * (x - (s[{total}] + x) / (s[{count}] + 1)) end"
        )
    if count is not None:
        yield f"s[{count}] = s[{count}] + 1"
    if total is not None:
        yield f"s[{total}] = s[{total}] + x"
    for statistic, sign in ((Statistic.MIN, "<"), (Statistic.MAX, ">")):
        if statistic in place:
            at = place[statistic]
            yield f"if x {sign} s[{at}] then s[{at}] = x end"
    for statistic, sign in ((Statistic.FIRST, "<"), (Statistic.LAST, ">")):
        if statistic in place:
            at = place[statistic]
            yield (
                f"if time {sign} s[{at}] or (time == s[{at}] and tie {sign} s[{at + 1}]) then"
                f" s[{at}], s[{at + 1}], s[{at + 2}] = time, tie, x end"
            )


def _distinct(number: int, layout: LevelLayout, life_ms: int) -> Iterator[str]:
    for number_of_input in layout.level.distinct:
        for key in _distinct_keys(layout):
            yield f"""\
if t[{number_of_input + 1}] then
  local values = head_key .. ':{number}:{number_of_input}:' .. {key}
  if call('PFADD', values, t[{number_of_input + 1}]) == 1 then
    call('PEXPIRE', values, {life_ms})
  end
end"""


def _distinct_keys(layout: LevelLayout) -> list[str]:
    """Returns the ends of the names of the HyperLogLogs that hold the values of `tile`, in Lua."""
    keys = ["string.format('%.0f', tile)"]
    if has_blocks(layout.level):
        keys.append(f"'b' .. string.format('%.0f', floor(tile / {BLOCK_TILES}))")
    return keys
