-- ARGV: set to list, newest first; most rows; most to look at; tenant, pipeline, callback and reason
-- to look for, or ''; score and id that the page before ended with, or ''.
-- Returns 1 if there may be more; score and id of the last looked at; the rows with their ids.

local set, most, look = base .. ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local tenant, pipeline, callback, reason = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local last_score, last_id = ARGV[10], ARGV[11]

-- The place after the last one, found by halving, as that one may have left meanwhile.
local first = 0
if last_id ~= '' then
  local low, high = 0, redis.call('ZCARD', set)
  local bound = tonumber(last_score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local id, score = unpack(redis.call('ZREVRANGE', set, middle, middle, 'WITHSCORES'))
    score = tonumber(score)
    if score > bound or (score == bound and id >= last_id) then
      low = middle + 1
    else
      high = middle
    end
  end
  first = low
end

local rows = {}
local found = redis.call('ZREVRANGE', set, first, first + look - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local id = found[i]
  local row = read_row(id, false)
  local meta = read_meta(row[1])
  last_score, last_id = found[i + 1], id
  local wanted = (tenant == '' or meta.tenant == tenant)
    and (pipeline == '' or meta.pipeline == pipeline)
    and (reason == '' or row[10] == reason)
  if wanted and callback ~= '' then
    wanted = meta.callback == callback or string.sub(meta.callback, -#callback - 1) == '/' .. callback
  end
  if wanted then
    rows[#rows + 1] = id
    rows[#rows + 1] = row
    if #rows == 2 * most then
      break
    end
  end
end
local more = first + look < redis.call('ZCARD', set) or #rows == 2 * most
return { more and 1 or 0, last_score, last_id, rows }
