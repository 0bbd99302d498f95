-- Returns callbacks with a delivery that is due, those due longest first; a bounded number. Where
-- there are more, they begin at another place each time: many that are stuck hold up none after them.

local MOST = 4096
local due = redis.call('ZCOUNT', base .. 'due', '-inf', now)

local function from(first, most)
  return redis.call('ZRANGEBYSCORE', base .. 'due', '-inf', now, 'LIMIT', first, most)
end

if due <= MOST then
  return from(0, MOST)
end
local reply = from(clock[2] % due, MOST)
for _, callback in ipairs(from(0, MOST - #reply)) do
  reply[#reply + 1] = callback
end
return reply
