-- Has no prelude. KEYS[1] is the hash of callbacks. ARGV: what to do, key of the callback, and for
-- `create` and `replace` its record, for `replace` the revision that it must have.
-- A value is its revision, a line feed, and the record. Returns its new revision; 0 where there is
-- none (or, for `create`, where there is one), -1 where it has another revision.

local action, callback, record, revision = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = redis.call('HGET', KEYS[1], callback)
if (action == 'create') == (known ~= false) then
  return 0
end
if action == 'replace' and string.match(known, '^%d+') ~= revision then
  return -1
end
if action ~= 'create' then
  -- Out of memory, Redis refuses INCR and HSET only as the first write.
  redis.call('HDEL', KEYS[1], '')
end
local revisions = KEYS[1] .. ':revision'
local newest = redis.call('INCR', revisions)
if action == 'delete' then
  redis.call('HDEL', KEYS[1], callback)
else
  redis.call('HSET', KEYS[1], callback, string.format('%.0f', newest) .. '\n' .. record)
end
return newest
