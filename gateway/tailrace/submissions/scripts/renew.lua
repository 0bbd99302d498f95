-- ARGV: id and fence of each. Returns 1 for each claim that is the newest, else 0.

local reply, entries = {}, {}
for i = 3, #ARGV, 2 do
  local state, fence, entry = unpack(
    redis.call('HMGET', base .. 's:' .. ARGV[i], 'state', 'fence', 'entry'))
  local newest = state == RUNNING and fence == ARGV[i + 1]
  reply[#reply + 1] = newest and 1 or 0
  if newest then
    local queue = base .. 'queue:' .. string.sub(entry, 1, 1)
    entries[queue] = entries[queue] or {}
    table.insert(entries[queue], string.sub(entry, 3))
  end
end
for queue, list in pairs(entries) do
  list[#list + 1] = 'JUSTID'
  redis.call('XCLAIM', queue, GROUP, CONSUMER, 0, unpack(list))
end
return reply
