-- ARGV: token of the publisher, its lease in ms, most changes.
-- Returns the position that they end with or '', and of each result: id, tenant, pipeline, request's
-- meta, state, created, ended, outcome. Only one publisher has the lease.

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
redis.call('HSET', progress, 'publisher', token, 'publisher_until', now + lease)
local rows = {}
for _, change in ipairs(found) do
  local id, state, delivery = change[2][2], change[2][8], change[2][10]
  if delivery == '0' then
    local meta, own_state, created, ended, outcome = unpack(redis.call(
      'HMGET', base .. 's:' .. id, 'meta', 'state', 'created', 'ended', 'outcome'))
    -- A dead letter that is run again has its result published when it has one.
    if own_state == state then
      local n = #rows
      rows[n + 1], rows[n + 2], rows[n + 3], rows[n + 4] = id, meta, state, created
      rows[n + 5], rows[n + 6] = ended, outcome
    end
  end
end
return { found[#found][1], rows }
