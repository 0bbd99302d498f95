-- ARGV: token of the publisher, position. Returns 1, or 0 if another has the lease.

write_though_full()
local progress = base .. 'progress'
if redis.call('HGET', progress, 'publisher') ~= ARGV[3] then
  return 0
end
redis.call('HSET', progress, 'published', ARGV[4], 'publisher_until', 0)
return 1
