-- ARGV: id and fence of each claim that is given back. Returns 1 for each that was, else 0.

write_though_full()
local reply = {}
for i = 3, #ARGV, 2 do
  local id, fence = ARGV[i], ARGV[i + 1]
  local meta = redis.call('HGET', base .. 's:' .. id, 'meta')
  local known = meta and read_meta(meta)
  local valid = known and redis.call('ZSCORE', base .. 'due:' .. known.callback, id) == fence
  reply[#reply + 1] = valid and 1 or 0
  if valid then
    make_due(id, known.callback, now_text)
  end
end
flush()
return reply
