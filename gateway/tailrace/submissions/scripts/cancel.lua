-- ARGV: id, tenant or '', outcome of what is cancelled.
-- Returns 0 where there is none, 1 where it has its result, 2 where it is cancelled; and the row.

write_though_full()
local id, tenant, outcome = ARGV[3], ARGV[4], ARGV[5]
local meta, state, entry = unpack(
  redis.call('HMGET', base .. 's:' .. id, 'meta', 'state', 'entry'))
if not meta then
  return { 0 }
end
local known = read_meta(meta)
if tenant ~= '' and known.tenant ~= tenant then
  return { 0 }
end
if state ~= CANCELLED and state ~= QUEUED and state ~= RUNNING then
  return { 1 }
end
if state ~= CANCELLED then
  if entry ~= '' then
    take_out(entry)
  end
  leave('timers', id)
  end_run(id, known, state, CANCELLED, outcome)
  flush()
end
return { 2, read_row(id, true) }
