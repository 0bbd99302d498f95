-- ARGV: most to take, lease in ms, crashes that make poison, outcomes of what is expired and poison.
-- Returns for each taken: id, fence, crashes, created, meta, request.

write_though_full()
local most = tonumber(ARGV[3])
local left, lease, most_crashes = most, tonumber(ARGV[4]), tonumber(ARGV[5])
local expired, poison = ARGV[6], ARGV[7]
local PRIORITIES = 4
-- Of large requests, few are read at once, and no more after so many bytes: a reply is made as a whole.
local PORTION, FEW, LARGE_BYTES, MOST_BYTES = 64, 16, 1000000, 8000000
-- A priority leaves one part of so many to each one after it, so that none waits for ever.
local PARTS = 16
local reply, bytes = {}, 0

local function take(priority, entry, id, lost)
  local key = base .. 's:' .. id
  local meta, request, state, fence, crashes, own_entry = unpack(
    redis.call('HMGET', key, 'meta', 'request', 'state', 'fence', 'crashes', 'entry'))
  entry = priority .. ':' .. entry
  if own_entry ~= entry then
    take_out(entry)
    return
  end
  local created, expires = struct.unpack('>I8I8', meta)
  fence, crashes = tonumber(fence or 0) + 1, tonumber(crashes or 0) + (lost and 1 or 0)
  if expires <= now then
    take_out(entry)
    leave('timers', id)
    end_run(id, read_meta(meta), state, EXPIRED, expired)
    return
  end
  if crashes >= most_crashes then
    take_out(entry)
    leave('timers', id)
    redis.call('HSET', key, 'crashes', crashes, 'fence', fence)
    end_run(id, read_meta(meta), state, FAILED, poison, 'POISON')
    return
  end
  if lost then
    redis.call('HSET', key, 'fence', fence, 'crashes', crashes, 'started', now_text)
  else
    redis.call('HSET', key, 'state', RUNNING, 'fence', fence, 'started', now_text)
    leave('timers', id)
    leave('state:1', id)
    enter('state:2', now_text, id)
  end
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = id, fence, crashes
  reply[n + 4], reply[n + 5], reply[n + 6] = created, meta, request
  left, bytes = left - 1, bytes + #request
end

-- Looks for lost leases in some of what is taken, from where the last call left off.
local function take_lost(priority)
  local portion = math.min(left, PORTION)
  local queue, place = base .. 'queue:' .. priority, 'leases:' .. priority
  local from = redis.call('HGET', base .. 'progress', place) or '0-0'
  local found = redis.pcall(
    'XAUTOCLAIM', queue, GROUP, CONSUMER, lease, from, 'COUNT', portion)
  if found.err then
    if not string.find(found.err, 'NOGROUP', 1, true) then
      return found
    end
    redis.call('XGROUP', 'CREATE', queue, GROUP, '0', 'MKSTREAM')
    return
  end
  if found[1] ~= from then
    redis.call('HSET', base .. 'progress', place, found[1])
  end
  for _, entry in ipairs(found[2]) do
    if entry then
      take(priority, entry[1], entry[2][2], true)
    end
  end
end

for priority = 1, PRIORITIES do
  local failure = left > 0 and bytes < MOST_BYTES and take_lost(priority)
  if failure then
    return failure
  end
end

local emptied = {}

local function take_waiting(priority, rows, most_bytes)
  while rows > 0 and bytes < most_bytes and not emptied[priority] do
    local few = bytes == 0 or bytes > LARGE_BYTES
    local portion = math.min(rows, few and FEW or PORTION)
    local found = redis.call(
      'XREADGROUP', 'GROUP', GROUP, CONSUMER, 'COUNT', portion, 'STREAMS',
      base .. 'queue:' .. priority, '>')
    local entries = found and found[1][2] or {}
    for _, entry in ipairs(entries) do
      take(priority, entry[1], entry[2][2], false)
    end
    rows, emptied[priority] = rows - #entries, #entries < portion
  end
end

local part = math.floor(left / PARTS)
for priority = 1, PRIORITIES do
  -- Those before may have taken all of the bytes, too.
  local most_bytes = part > 0 and math.max(MOST_BYTES, bytes + 1) or MOST_BYTES
  take_waiting(priority, left - part * (PRIORITIES - priority), most_bytes)
end
for priority = 1, PRIORITIES do
  take_waiting(priority, left, MOST_BYTES)
end
flush()
return reply
