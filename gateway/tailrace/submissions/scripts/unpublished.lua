-- ARGV: token of the publisher, its lease in ms, most changes; on one server, also the output stream
-- and about how many entries it keeps, and then the results are appended here.
-- Returns the position that they end with or ''; how many were appended, or of each result what
-- `append.lua` takes of it.
-- Only one publisher has the lease.

write_though_full()
local token, lease, most = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local progress = base .. 'progress'
local published, owner, until_ms = unpack(
  redis.call('HMGET', progress, 'published', 'publisher', 'publisher_until'))
if owner and owner ~= token and tonumber(until_ms) > now then
  return { '', {} }
end
local found = redis.call(
  'XRANGE', base .. 'changes', '(' .. (published or '0-0'), '+', 'COUNT', most)
if #found == 0 then
  return { '', {} }
end
-- What comes after so many bytes is left for the next time.
local MOST_BYTES = 8000000
local rows, bytes, last = {}, 0, nil
for _, change in ipairs(found) do
  if bytes >= MOST_BYTES then
    break
  end
  last = change[1]
  local id, state, delivery = change[2][2], change[2][8], change[2][10]
  if delivery == '0' then
    local meta, own_state, ended, outcome = unpack(
      redis.call('HMGET', base .. 's:' .. id, 'meta', 'state', 'ended', 'outcome'))
    -- A dead letter that is run again has its result published when it has one.
    if own_state == state then
      local created = struct.unpack('>I8', meta)
      local _, _, _, _, request_id = struct.unpack('>Hc0Hc0Hc0Hc0Hc0', meta, TEXTS_FROM)
      local n = #rows
      rows[n + 1], rows[n + 2], rows[n + 3] = id, change[2][4], change[2][6]
      rows[n + 4], rows[n + 5], rows[n + 6] = request_id, state, text(created)
      rows[n + 7], rows[n + 8] = ended, outcome
      bytes = bytes + #outcome
    end
  end
end
local output = ARGV[6]
if output then
  -- On one server, in the same step.
  for i = 1, #rows, 8 do
    redis.call('XADD', output, 'MAXLEN', '~', ARGV[7], '*', 'prediction_id', rows[i], 'tenant',
      rows[i + 1], 'pipeline', rows[i + 2], 'request_id', rows[i + 3], 'state', rows[i + 4],
      'created_ms', rows[i + 5], 'ended_ms', rows[i + 6], 'outcome', rows[i + 7])
  end
  redis.call('HSET', progress, 'published', last, 'publisher_until', '0')
  return { last, #rows / 8 }
end
redis.call('HSET', progress, 'publisher', token, 'publisher_until', now + lease)
return { last, rows }
