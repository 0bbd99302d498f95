-- ARGV: most that may wait, time to live in ms; then id, digest of the idempotency key, not_after,
-- meta and request of each.
-- Returns for each: 0 queued, 1 there already, 2 key used for another, 3 backlog full, 4 its time has
-- passed; id; state; created.

local limit, ttl = tonumber(ARGV[3]), tonumber(ARGV[4])
local waiting = redis.call('ZCARD', base .. 'state:1')
local latest = text(now + ttl)
local reply, records, by_digest = {}, {}, {}

for i = 5, #ARGV, 5 do
  local id, digest, not_after, meta, request = unpack(ARGV, i, i + 4)
  not_after = tonumber(not_after)
  local first = id
  if digest ~= '' then
    first = by_digest[digest] or redis.call('GET', base .. 'i:' .. digest) or id
  end
  local known = redis.call('HMGET', base .. 's:' .. first, 'meta', 'state')
  local n = #reply
  if known[1] then
    local same = string.sub(known[1], DIGEST_FROM, DIGEST_TO)
      == string.sub(meta, DIGEST_FROM - TIMES_BYTES, DIGEST_TO - TIMES_BYTES)
    reply[n + 1], reply[n + 2] = same and 1 or 2, first
    reply[n + 3], reply[n + 4] = tonumber(known[2]), (struct.unpack('>I8', known[1]))
  elseif not_after > 0 and not_after <= now then
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = 4, id, 1, now
  elseif waiting >= limit then
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = 3, id, 1, now
  else
    waiting = waiting + 1
    local expires = now + ttl
    if not_after > 0 and not_after < expires then
      expires = not_after
    end
    -- The first write is one that Redis refuses when it is out of memory, before anything is done.
    local entry = put_in(string.byte(meta, 1), id)
    meta = struct.pack('>I8I8', now, expires) .. meta
    redis.call('HSET', base .. 's:' .. id, 'meta', meta, 'request', request, 'state', QUEUED,
      'entry', entry)
    enter('timers', expires == now + ttl and latest or text(expires), id)
    enter('state:1', now_text, id)
    if string.byte(meta, TIMES_BYTES + 2) == 1 then
      local place = redis.call('HINCRBY', base .. 'progress', 'lane_places', 1)
      redis.call('ZADD', lane_of(read_meta(meta)), place, id)
    end
    if digest ~= '' then
      by_digest[digest] = id
      records[#records + 1] = base .. 'i:' .. digest
      records[#records + 1] = id
    end
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = 0, id, 1, now
  end
end

for first = 1, #records, CHUNK do
  redis.call('MSET', unpack(records, first, math.min(first + CHUNK - 1, #records)))
end
flush()
return reply
