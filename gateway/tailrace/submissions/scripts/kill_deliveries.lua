-- ARGV: callback, reason, most to kill. Returns how many there were.

write_though_full()
local callback, reason, left = ARGV[3], ARGV[4], tonumber(ARGV[5])
local killed = 0
while left > 0 do
  -- Each round also finds what got its turn in a lane by the round before.
  local ids = redis.call('ZRANGE', base .. 'due:' .. callback, 0, left - 1)
  if #ids == 0 then
    break
  end
  for _, id in ipairs(ids) do
    local key = base .. 's:' .. id
    local meta, state = unpack(redis.call('HMGET', key, 'meta', 'state'))
    redis.call('HSET', key, 'd_state', DEAD, 'd_ended', now_text, 'dead_reason', reason)
    end_delivery(id, read_meta(meta), state, DEAD)
    enter('dead', now_text, id)
    enter('retain', dead_until, id)
  end
  flush()
  killed, left = killed + #ids, left - #ids
end
return killed
