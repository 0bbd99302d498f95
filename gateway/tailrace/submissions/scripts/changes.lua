-- ARGV: position, most changes. Returns false where changes after it are gone, else the changes.

local after, most = ARGV[3], ARGV[4]
local function parts(position)
  local ms, seq = string.match(position, '^(%d+)-?(%d*)$')
  return tonumber(ms), tonumber(seq) or 0
end
if after ~= '0' then
  local trimmed = redis.call('HGET', base .. 'progress', 'trimmed')
  if trimmed then
    local ms, seq = parts(after)
    local trimmed_ms, trimmed_seq = parts(trimmed)
    if ms < trimmed_ms or (ms == trimmed_ms and seq < trimmed_seq) then
      return false
    end
  end
end
return redis.call('XRANGE', base .. 'changes', '(' .. after, '+', 'COUNT', most)
