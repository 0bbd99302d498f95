-- ARGV: most submissions of each kind, outcome of what is expired, how long changes are kept in ms.
-- Returns how many submissions were touched.

write_though_full()
local most, expired, changes_ttl = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local progress, changes = base .. 'progress', base .. 'changes'
local count = 0

for _, id in ipairs(redis.call(
  'ZRANGEBYSCORE', base .. 'timers', '-inf', now, 'LIMIT', 0, most)) do
  local key = base .. 's:' .. id
  local meta, entry = unpack(redis.call('HMGET', key, 'meta', 'entry'))
  local created, expires, priority = struct.unpack('>I8I8B', meta)
  if expires <= now then
    if entry ~= '' then
      take_out(entry)
    end
    leave('timers', id)
    end_run(id, read_meta(meta), QUEUED, EXPIRED, expired)
  else
    redis.call('HSET', key, 'entry', put_in(priority, id))
    enter('timers', expires, id)
  end
  count = count + 1
end
flush()

local function time_of(position)
  return tonumber(string.match(position, '^%d+'))
end

local published = redis.call('HGET', progress, 'published') or '0-0'
local newest = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)[1]
local all_published = not newest or newest[1] == published
local published_until = time_of(published)

local gone = {}
for _, id in ipairs(redis.call(
  'ZRANGEBYSCORE', base .. 'retain', '-inf', now, 'LIMIT', 0, most)) do
  local meta, state, ended, reason = unpack(
    redis.call('HMGET', base .. 's:' .. id, 'meta', 'state', 'ended', 'dead_reason'))
  -- What is not in the output stream yet is kept for it.
  if all_published or tonumber(ended) < published_until then
    gone[#gone + 1] = base .. 's:' .. id
    if string.byte(meta, RECORD_FROM) ~= 0 then
      gone[#gone + 1] = base .. 'i:' .. string.sub(meta, RECORD_FROM, RECORD_TO)
    end
    leave('retain', id)
    leave('state:' .. state, id)
    if reason then
      leave('dead', id)
    end
    count = count + 1
  end
end
for first = 1, #gone, CHUNK do
  redis.call('UNLINK', unpack(gone, first, math.min(first + CHUNK - 1, #gone)))
end
flush()

-- A bounded time of changes at once. What was published last is kept, so that none is skipped.
local oldest = redis.call('XRANGE', changes, '-', '+', 'COUNT', 1)[1]
if oldest then
  local oldest_ms = time_of(oldest[1])
  local keep_from = math.min(now - changes_ttl, published_until, oldest_ms + 60000)
  -- With nothing before it, Redis would look for the last one before it in the whole stream.
  if oldest_ms < keep_from then
    local cut = text(keep_from) .. '-0'
    local last = redis.call('XREVRANGE', changes, '(' .. cut, '-', 'COUNT', 1)[1]
    redis.call('XTRIM', changes, 'MINID', cut)
    redis.call('HSET', progress, 'trimmed', last[1])
  end
end
return count
