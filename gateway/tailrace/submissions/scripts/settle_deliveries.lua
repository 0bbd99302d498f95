-- ARGV: id, fence, wait until the next attempt in ms or '', reason for being a dead letter or '', and
-- record of the attempt, of each.
-- Returns 1 for each that was written, else 0.

write_though_full()
local reply = {}
for i = 3, #ARGV, 5 do
  local id, fence, wait, dead_reason, record = unpack(ARGV, i, i + 4)
  local key = base .. 's:' .. id
  local meta, state, attempts, past = unpack(
    redis.call('HMGET', key, 'meta', 'state', 'd_attempts', 'd_past'))
  local known = meta and read_meta(meta)
  local valid = known and redis.call('ZSCORE', base .. 'due:' .. known.callback, id) == fence
  reply[#reply + 1] = valid and 1 or 0
  if valid then
    attempts = tonumber(attempts or 0) + 1
    local slot = 'a' .. (tonumber(past or 0) + attempts) % 20
    if wait ~= '' then
      redis.call('HSET', key, 'd_attempts', attempts, slot, record)
      local at = text(now + tonumber(wait))
      -- The lease may be as long as the wait, and of this very millisecond: then it would go on.
      make_due(id, known.callback, at == fence and text(now + tonumber(wait) + 1) or at)
    elseif dead_reason ~= '' then
      redis.call('HSET', key, 'd_attempts', attempts, slot, record, 'd_state', DEAD, 'd_ended',
        now_text, 'dead_reason', dead_reason)
      end_delivery(id, known, state, DEAD)
      enter('dead', now_text, id)
      enter('retain', dead_until, id)
    else
      redis.call('HSET', key, 'd_attempts', attempts, slot, record, 'd_state', DELIVERED,
        'd_ended', now_text)
      end_delivery(id, known, state, DELIVERED)
      enter('retain', result_until, id)
    end
  end
end
flush()
return reply
