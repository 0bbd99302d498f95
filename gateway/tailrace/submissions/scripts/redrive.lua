-- ARGV: time to live of a submission in ms; 1 or 0 for deliveries that wait for their next attempt;
-- then ids. Returns 1 for each that was a dead letter, or such a delivery.

write_though_full()
local ttl = tonumber(ARGV[3])
local reply = {}
local hastens = ARGV[4] == '1'
for i = 5, #ARGV do
  local id = ARGV[i]
  local key = base .. 's:' .. id
  local meta, state, reason, attempts, past, delivery = unpack(redis.call(
    'HMGET', key, 'meta', 'state', 'dead_reason', 'd_attempts', 'd_past', 'd_state'))
  local is_dead = meta and redis.call('ZSCORE', base .. 'dead', id)
  reply[#reply + 1] = is_dead and 1 or 0
  if is_dead then
    -- At once, as an id may be named twice.
    redis.call('ZREM', base .. 'dead', id)
    redis.call('ZREM', base .. 'retain', id)
    local known = read_meta(meta)
    if reason == 'POISON' then
      local not_after = struct.unpack('>I8', meta, TIMES_BYTES + 3)
      local expires = now + ttl
      if not_after > 0 and not_after < expires then
        expires = not_after
      end
      redis.call('HDEL', key, 'ended', 'outcome', 'd_state', 'dead_reason')
      redis.call('HSET', key, 'state', QUEUED, 'crashes', '0', 'entry', put_in(known.priority, id),
        'meta', struct.pack('>I8I8', known.created, expires) .. string.sub(meta, TIMES_BYTES + 1))
      leave('state:' .. state, id)
      enter('state:1', known.created, id)
      enter('timers', expires, id)
    else
      redis.call('HDEL', key, 'd_ended', 'dead_reason')
      redis.call('HSET', key, 'd_state', PENDING, 'd_attempts', '0', 'd_past',
        tonumber(past or 0) + tonumber(attempts or 0))
      pending = pending + 1
      make_due(id, known.callback, now_text)
    end
  elseif hastens and delivery == PENDING then
    local callback = read_meta(meta).callback
    local at = redis.call('ZSCORE', base .. 'due:' .. callback, id)
    -- Without a time it has to wait for others of its lane. One that is claimed loses its claim.
    if at then
      reply[#reply] = 1
      if tonumber(at) > now then
        make_due(id, callback, now_text)
      end
    end
  end
end
flush()
return reply
