-- Returns how many are in each state, deliveries that wait, dead letters, since when the oldest
-- waits, and since when a delivery is due; the last two may be false.

local reply = {}
for state = 1, 6 do
  reply[state] = redis.call('ZCARD', base .. 'state:' .. state)
end
reply[7] = tonumber(redis.call('HGET', base .. 'progress', 'pending') or 0)
reply[8] = redis.call('ZCARD', base .. 'dead')
reply[9] = redis.call('ZRANGE', base .. 'state:1', 0, 0, 'WITHSCORES')[2] or false
local due = redis.call('ZRANGE', base .. 'due', 0, 0, 'WITHSCORES')[2]
reply[10] = due and tonumber(due) <= now and due or false
return reply
