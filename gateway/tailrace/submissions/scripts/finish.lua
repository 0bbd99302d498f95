-- ARGV: id, fence, state, reason for being a dead letter or '', and outcome of each.
-- Returns 1 for each that was written, else 0.

write_though_full()
local reply = {}
for i = 3, #ARGV, 5 do
  local id, fence, state, dead_reason, outcome = unpack(ARGV, i, i + 4)
  local meta, was, newest, entry = unpack(
    redis.call('HMGET', base .. 's:' .. id, 'meta', 'state', 'fence', 'entry'))
  local valid = meta and was == RUNNING and newest == fence
  reply[#reply + 1] = valid and 1 or 0
  if valid then
    take_out(entry)
    end_run(id, read_meta(meta), RUNNING, state, outcome,
      dead_reason ~= '' and dead_reason or nil)
  end
end
flush()
return reply
