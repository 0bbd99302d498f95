"""Writes rows over those of a generation, each in one step and only where it is not older."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.features.generation_rows import chunks
from tailrace.features.load_lock import LoadLock
from tailrace.features.pointer import KeyNames
from tailrace.features.redis_link import Argument, RedisLink

# Bytes 8 to 15 of a row are its timestamp, an int64 (`codec.py`): compared as low and high half,
# as Lua's numbers hold 53 bits. A stored row too short to have one is corrupt, and replaced.
_APPLY = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1, 0, 0} end
local added, updated, outdated = 0, 0, 0
for i = 3, #KEYS do
  local row = ARGV[i]
  local stored = redis.call('GETRANGE', KEYS[i], 8, 15)
  local older = false
  if #stored == 8 then
    local old_low, old_high = struct.unpack('<I4i4', stored)
    local new_low, new_high = struct.unpack('<I4i4', row, 9)
    older = new_high < old_high or (new_high == old_high and new_low < old_low)
  end
  if older then
    outdated = outdated + 1
  elseif #stored > 0 or redis.call('EXISTS', KEYS[i]) == 1 then
    updated = updated + 1
  else
    added = added + 1
  end
  if not older then redis.call('SET', KEYS[i], row) end
end
if added > 0 and ARGV[2] == '1' then redis.call('INCRBY', KEYS[2], added) end
return {added, updated, outdated}
"""


class IncrementWriter:
    """Puts rows into a generation that is there.

    Rows added in place are counted in the store, in the same step in which they are written: the
    pointer tells them only later, and a load may die before.

    Attributes:
        added: rows of new entities that this load wrote.
        updated: rows that took the place of others.
        outdated: rows not written, as what is stored is later.
    """

    def __init__(
        self,
        link: RedisLink,
        names: KeyNames,
        view: str,
        generation: int,
        lock: LoadLock,
        *,
        in_place: bool,
    ) -> None:
        """Keeps the parts.

        Args:
            link: to the store.
            names: names of the keys.
            view: name of the view.
            generation: of the rows to write over.
            lock: of the view, which must be held.
            in_place: whether lookups read the generation.
        """
        self.added = self.updated = self.outdated = 0
        self._link = link
        self._prefix = names.generation(view, generation)
        self._added_key = names.added(view)
        self._lock = lock
        self._in_place = in_place

    async def write(self, keys: Sequence[str], rows: Sequence[bytes]) -> None:
        """Stores the rows that are not older than what is stored.

        Raises:
            LoadLocked: the lock was lost.
            Unavailable: the store cannot be reached or cannot serve, or is full.
        """
        self._lock.check()
        flag = int(self._in_place)
        commands: list[list[Argument]] = []
        for start, stop in chunks(rows):
            names = [self._prefix + key for key in keys[start:stop]]
            head: list[Argument] = ["EVAL", _APPLY, 2 + len(names), self._lock.key, self._added_key]
            commands.append([*head, *names, self._lock.token, flag, *rows[start:stop]])
        for added, updated, outdated in await self._link.call_many(commands):
            if added < 0:
                self._lock.lost = True
                self._lock.check()
            self.added += added
            self.updated += updated
            self.outdated += outdated

    async def added_in_place(self) -> int:
        """Returns the rows added in place that the pointer does not tell yet, by any load."""
        return int(await self._link.call("GET", self._added_key) or 0)
