-- Comes before every script. KEYS[1] is what all keys of the partition begin with; ARGV[1] and
-- ARGV[2] are how long results and dead letters are kept, in ms. What concerns many submissions at
-- once is gathered here, and written by `flush` in one command for each key.

-- Texts, as Redis has and wants them: it takes long to write a number of Lua's.
local QUEUED, RUNNING, SUCCEEDED, FAILED, EXPIRED, CANCELLED = '1', '2', '3', '4', '5', '6'
local PENDING, DELIVERED, DEAD = '1', '2', '3'
local GROUP, CONSUMER = 'dispatchers', 'dispatcher'

local base = KEYS[1]
local result_ttl, dead_ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- First in a script that only lets what is there go on: a Redis that is out of memory refuses the
-- first write of a script if it may take more, and none after one that takes none.
local function write_though_full()
  redis.call('HDEL', base .. 'progress', '')
end

local function text(number)
  return string.format('%.0f', number)
end

local now_text = text(now)
local result_until, dead_until = text(now + result_ttl), text(now + dead_ttl)

-- Arguments of one command: a Lua call takes some 8,000 at most.
local CHUNK = 4000

local removed, added, taken_out, touched = {}, {}, {}, {}
local pending, became_queued, became_due = 0, false, false

local function in_chunks(command, key, list)
  if #list <= CHUNK then
    redis.call(command, key, unpack(list))
    return
  end
  for first = 1, #list, CHUNK do
    redis.call(command, key, unpack(list, first, math.min(first + CHUNK - 1, #list)))
  end
end

local function leave(set, id)
  local list = removed[set]
  if not list then
    list = {}
    removed[set] = list
  end
  list[#list + 1] = id
end

local function enter(set, score, id)
  local list = added[set]
  if not list then
    list = {}
    added[set] = list
  end
  local n = #list
  list[n + 1] = score
  list[n + 2] = id
end

-- `entry` is the priority, a colon, and the id of an entry of that queue's stream.
local function take_out(entry)
  local queue = 'queue:' .. string.sub(entry, 1, 1)
  local list = taken_out[queue]
  if not list then
    list = {}
    taken_out[queue] = list
  end
  list[#list + 1] = string.sub(entry, 3)
end

local function put_in(priority, id)
  became_queued = true
  return priority .. ':' .. redis.call('XADD', base .. 'queue:' .. priority, '*', 'id', id)
end

local function flush()
  for queue, entries in pairs(taken_out) do
    for first = 1, #entries, CHUNK do
      local last = math.min(first + CHUNK - 1, #entries)
      redis.call('XACK', base .. queue, GROUP, unpack(entries, first, last))
      redis.call('XDEL', base .. queue, unpack(entries, first, last))
    end
  end
  for set, list in pairs(removed) do
    in_chunks('ZREM', base .. set, list)
  end
  for set, list in pairs(added) do
    in_chunks('ZADD', base .. set, list)
  end
  for callback in pairs(touched) do
    local head = redis.call('ZRANGE', base .. 'due:' .. callback, 0, 0, 'WITHSCORES')
    if head[1] then
      redis.call('ZADD', base .. 'due', head[2], callback)
    else
      redis.call('ZREM', base .. 'due', callback)
    end
  end
  if pending ~= 0 then
    redis.call('HINCRBY', base .. 'progress', 'pending', pending)
  end
  if became_queued or became_due then
    local prefix = string.match(base, '^(.*){q%d+}:$')
    if became_queued then
      redis.call('PUBLISH', prefix .. 'queued', '')
    end
    if became_due then
      redis.call('PUBLISH', prefix .. 'due', '')
    end
  end
  removed, added, taken_out, touched = {}, {}, {}, {}
  pending, became_queued, became_due = 0, false, false
end

-- `meta` is when a submission was made and when it expires, and what the store packed, whose layout
-- is in submission_meta.py. Places are counted from 1.
local DIGEST_FROM, DIGEST_TO = 27, 58
local RECORD_FROM, RECORD_TO = 59, 82
local TEXTS_FROM = 83
local TIMES_BYTES = 16

local function read_meta(meta)
  local created, expires, priority, ordered = struct.unpack('>I8I8BB', meta)
  local tenant, pipeline, callback, ordering = struct.unpack('>Hc0Hc0Hc0Hc0', meta, TEXTS_FROM)
  return {
    created = created,
    expires = expires,
    priority = priority,
    ordered = ordered == 1,
    tenant = tenant,
    pipeline = pipeline,
    callback = callback,
    ordering = ordering,
  }
end

local function make_due(id, callback, at)
  enter('due:' .. callback, at, id)
  touched[callback] = true
  became_due = true
end

local function add_change(id, meta, state, delivery)
  redis.call('XADD', base .. 'changes', '*', 'id', id, 'tenant', meta.tenant, 'pipeline',
    meta.pipeline, 'state', state, 'delivery', delivery)
end

-- The length keeps apart what has colons within.
local function lane_of(meta)
  return base .. 'lane:' .. #meta.callback .. ':' .. meta.callback .. ':' .. meta.ordering
end

-- Ends the turn of a submission in its lane; the next one's is due if it has its result.
local function end_turn(id, meta)
  if not meta.ordered then
    return
  end
  local lane = lane_of(meta)
  local was_first = redis.call('ZRANGE', lane, 0, 0)[1] == id
  redis.call('ZREM', lane, id)
  if not was_first then
    return
  end
  local following = redis.call('ZRANGE', lane, 0, 0)[1]
  if following then
    local delivery = redis.call('HGET', base .. 's:' .. following, 'd_state')
    if delivery == PENDING then
      make_due(following, meta.callback, now_text)
    end
  end
end

local function has_turn(id, meta)
  if not meta.ordered then
    return true
  end
  local lane = lane_of(meta)
  return redis.call('ZRANGE', lane, 0, 0)[1] == id or not redis.call('ZSCORE', lane, id)
end

-- Writes a final state; `dead_reason` is nil for what is not a dead letter.
local function end_run(id, meta, from, state, outcome, dead_reason)
  local key = base .. 's:' .. id
  leave('state:' .. from, id)
  enter('state:' .. state, now_text, id)
  add_change(id, meta, state, '0')
  if dead_reason then
    -- Its request stays, as it may be run again.
    redis.call('HSET', key, 'state', state, 'outcome', outcome, 'ended', now_text, 'dead_reason',
      dead_reason, 'd_state', meta.callback == '' and '0' or DEAD)
    enter('dead', now_text, id)
    enter('retain', dead_until, id)
    end_turn(id, meta)
  elseif meta.callback == '' then
    redis.call('HSET', key, 'state', state, 'outcome', outcome, 'ended', now_text, 'request', '')
    enter('retain', result_until, id)
  else
    redis.call('HSET', key, 'state', state, 'outcome', outcome, 'ended', now_text, 'request', '',
      'd_state', PENDING)
    pending = pending + 1
    if has_turn(id, meta) then
      make_due(id, meta.callback, now_text)
    end
  end
end

local function end_delivery(id, meta, state, delivery)
  leave('due:' .. meta.callback, id)
  touched[meta.callback] = true
  pending = pending - 1
  add_change(id, meta, state, delivery)
  end_turn(id, meta)
end

-- What the store makes a record of; the order is that of stored_rows.py.
local function read_row(id, with_outcome)
  local row = redis.call('HMGET', base .. 's:' .. id, 'meta', 'state', 'started', 'ended', 'fence',
    'd_state', 'd_attempts', 'd_past', 'd_ended', 'dead_reason', with_outcome and 'outcome' or '')
  return row[1] and row
end
