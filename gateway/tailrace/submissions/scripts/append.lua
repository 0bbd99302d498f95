-- Has no prelude. KEYS[1] is the output stream. ARGV: most entries, about; then id, tenant, pipeline,
-- request id, state, created, ended and outcome of each.

local most = ARGV[1]
-- Out of memory, Redis refuses XADD only as the first write; results go only once they are here.
redis.call('XDEL', KEYS[1], '0-1')
for i = 2, #ARGV, 8 do
  local id, tenant, pipeline, request_id, state, created, ended, outcome = unpack(ARGV, i, i + 7)
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', most, '*', 'prediction_id', id, 'tenant', tenant,
    'pipeline', pipeline, 'request_id', request_id, 'state', state, 'created_ms', created,
    'ended_ms', ended, 'outcome', outcome)
end
return (#ARGV - 1) / 8
