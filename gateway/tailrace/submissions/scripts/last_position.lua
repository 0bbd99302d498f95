-- Returns the position of the newest change; '0-0', which is before all of them, if there
-- was none.

if redis.call('EXISTS', base .. 'changes') == 0 then
  return '0-0'
end
local info = redis.call('XINFO', 'STREAM', base .. 'changes')
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then
    return info[i + 1]
  end
end
