-- ARGV: 1 or 0 for outcomes, 1 or 0 for attempts; then ids.
-- Returns for each: nothing, or its row, when it is delivered next, and its latest attempts.

local outcomes, attempts = ARGV[3] == '1', ARGV[4] == '1'
local slots, reply = {}, {}
for slot = 0, 19 do
  slots[#slots + 1] = 'a' .. slot
end
for i = 5, #ARGV do
  local id = ARGV[i]
  local row = read_row(id, outcomes)
  if row then
    local at = false
    if row[6] == PENDING then
      at = redis.call('ZSCORE', base .. 'due:' .. read_meta(row[1]).callback, id)
    end
    row[12] = at
    row[13] = attempts and redis.call('HMGET', base .. 's:' .. id, unpack(slots)) or {}
  end
  reply[#reply + 1] = row
end
return reply
