-- ARGV: id, fence, wait in ms, and 1 or 0 for whether it counts as a crash, of each.
-- Returns 1 for each that was given back, else 0.

write_though_full()
local reply = {}
for i = 3, #ARGV, 4 do
  local id, fence, wait, counts = unpack(ARGV, i, i + 3)
  local key = base .. 's:' .. id
  local state, newest, entry, crashes, meta = unpack(
    redis.call('HMGET', key, 'state', 'fence', 'entry', 'crashes', 'meta'))
  local valid = state == RUNNING and newest == fence
  reply[#reply + 1] = valid and 1 or 0
  if valid then
    wait = tonumber(wait)
    local created, expires = struct.unpack('>I8I8', meta)
    take_out(entry)
    local next_entry, at = '', math.min(now + wait, expires)
    if wait <= 0 then
      next_entry, at = put_in(string.sub(entry, 1, 1), id), expires
    end
    redis.call('HSET', key, 'state', QUEUED, 'entry', next_entry, 'crashes',
      tonumber(crashes or 0) + tonumber(counts))
    enter('timers', at, id)
    leave('state:2', id)
    enter('state:1', created, id)
  end
end
flush()
return reply
