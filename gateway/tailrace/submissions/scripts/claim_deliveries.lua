-- ARGV: callback, most to take, lease in ms.
-- Returns for each taken: id, fence, row. The fence is when the lease ends, kept as the time of the
-- next attempt: a later claim ends later.

write_though_full()
local callback, most, lease = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local due = base .. 'due:' .. callback
local fence = now + lease
local fence_text = text(fence)
-- A reply is made as a whole: what comes after so many bytes of outcomes is left for another claim.
local MOST_BYTES = 8000000
local reply, bytes = {}, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)) do
  local row = read_row(id, true)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = id, fence, row
  enter('due:' .. callback, fence_text, id)
  bytes = bytes + #row[11]
  if bytes >= MOST_BYTES then
    break
  end
end
touched[callback] = true
flush()
return reply
