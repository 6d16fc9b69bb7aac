-- ARGV: what the batch demands and how it is kept, then four for each entry:
-- cursor, key, data, state. Everything is looked at before the first change, and
-- what is refused there (no memory, no disk, not the master) changes nothing.
local expect, flags, expectMeta, firstEpoch, token, meta = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local maxEntries, maxBytes, maxAge, slack = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local publish, channel, announcement, endingKept = ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local maxMissed, replyBytes = tonumber(ARGV[15]), tonumber(ARGV[16])
local sender, claim = ARGV[17], tonumber(ARGV[18])
local FIRST, STRIDE, OVERHEAD = 19, 4, 128
local last = ARGV[#ARGV - 3]
local count = (#ARGV - FIRST + 1) / STRIDE

local function has(flag) return string.find(flags, flag, 1, true) ~= nil end

-- committed says whether this very batch was committed before: its sender has
-- not heard of it and sends it again.
local function committed(p)
  if p.head == last and p.token == token then return true end
  if p.ending == last and p.endingToken == token then return true end
  if not p.head then return false end
  local some = redis.call('XRANGE', STREAM, last, last)
  return #some == 1 and fields(some[1])[TOKEN] == token
end

-- missed are the entries after the expected position, if they are not many.
local function missed(p)
  if epoch(expect) ~= epoch(p.head) then return {} end
  local from, to = tonumber(string.match(expect, '-(%d+)$')), tonumber(string.match(p.head, '-(%d+)$'))
  if not from or not to or to <= from or to - from > maxMissed then return {} end
  local entries, cut = range(p, '(' .. expect, maxMissed, replyBytes)
  if cut then return {} end
  return entries
end

-- known are the entries that carry keys of the batch.
local function known(p)
  if p.indexed == 0 then return nil end
  local cursors, seen = {}, {}
  for i = FIRST, #ARGV, STRIDE do
    local key = ARGV[i + 1]
    if key ~= '' and not seen[key] then
      seen[key] = true
      local cursor = redis.call('HGET', INDEX, key)
      if cursor then cursors[#cursors + 1] = cursor end
    end
  end
  if #cursors == 0 then return nil end
  local entries, done, missing = at(cursors, replyBytes)
  if missing then return lost(missing) end
  return {'known', #cursors - done, entries}
end

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- claimed is for how many milliseconds more the next turn is another store's.
local function claimed(p)
  if not p.claimant or p.claimant == sender or has('o') then return 0 end
  return math.max(0, (p.claimedUntil or 0) - milliseconds())
end

-- takeTurn claims the next turn for the sender if he asks for it and nobody has it,
-- and gives back what he had if he does not.
local function takeTurn(p)
  if claim > 0 and claimed(p) == 0 then
    redis.call('HSET', HEAD, 'w', sender, 'u', milliseconds() + claim)
  elseif p.claimant == sender then
    redis.call('HDEL', HEAD, 'w', 'u')
  end
end

-- refusal says what speaks against the batch, or that it is done already.
local function refusal(p)
  if p.damage then return {'damaged', p.damage} end
  if (p.head or '') ~= expect then
    if committed(p) then return {'committed', p.head or '', p.length, ''} end
    if p.head then
      takeTurn(p)
      return {'moved', p.head, 0, p.length, missed(p)}
    end
    if p.ending and not p.startedAgain then return {'moved', p.ending, 1, 0, {}} end
    return {'moved', '', 0, 0, {}}
  end
  if expect == '' and p.ending and not later(firstEpoch, epoch(p.ending)) then
    if committed(p) then return {'committed', '', 0, ''} end
    return {'moved', p.ending, 1, 0, {}}
  end
  if has('m') and (redis.call('HGET', HEAD, 'm') or '') ~= expectMeta then return {'replaced'} end
  local held = has('k') and known(p)
  if held then return held end
  local left = claimed(p)
  if left > 0 then return {'claimed', left} end
end

-- add appends the entries and puts their keys into the index.
local function add(p, now)
  local newest
  for i = FIRST, #ARGV, STRIDE do
    local cursor, key, data, state = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    redis.call('XADD', STREAM, cursor, 'd', data, 'a', now, 'k', key, 's', state, 't', cursor == last and token or '')
    if key ~= '' then p.indexed = p.indexed + redis.call('HSET', INDEX, key, cursor) end
    if state ~= '' then newest = state end
    p.bytes = p.bytes + #key + #data + #state + OVERHEAD
  end
  p.length = p.length + count
  return newest
end

-- drop takes an entry that is to be trimmed out of what is counted.
local function drop(p, entry)
  local f = fields(entry)
  local key = f[KEY] or ''
  if key ~= '' and redis.call('HGET', INDEX, key) == entry[1] then
    p.indexed = p.indexed - redis.call('HDEL', INDEX, key)
  end
  p.length = p.length - 1
  p.bytes = p.bytes - #key - #(f[DATA] or '') - #(f[STATE] or '') - OVERHEAD
end

-- trim forgets what need not be kept: when it is somewhat too much, all that is
-- too much, so that most appends need not; never the newest entry; and never
-- much more than was appended, so that no append takes long.
local function trim(p, now)
  local many = maxEntries > 0 and p.length > maxEntries + slack
  local large = maxBytes > 0 and p.bytes > maxBytes
  local oldest = maxAge > 0 and now - maxAge or 0
  if not many and not large and p.since >= oldest then return end
  local room, first, before = maxBytes - maxBytes / 16, '-', p.length
  local left = 2 * count + 256
  local block = math.max(1, math.min(64, math.floor(replyBytes * p.length / math.max(1, p.bytes))))
  repeat
    local some = redis.call('XRANGE', STREAM, first, '+', 'COUNT', block)
    for _, entry in ipairs(some) do
      p.since = tonumber(fields(entry)[TIME] or '0') or 0
      local go = (many and p.length > maxEntries) or (large and p.bytes > room) or p.since < oldest
      if not go or p.length <= 1 then
        left = 0
        break
      end
      drop(p, entry)
      first = '(' .. entry[1]
    end
    left = left - block
  until left <= 0 or #some < block
  if p.length < before then redis.call('XTRIM', STREAM, 'MAXLEN', p.length) end
end

-- announce tells whoever follows the history, and returns what went wrong. The
-- batch stands regardless.
local function announce()
  local reply = redis.pcall(publish, channel, announcement)
  return type(reply) == 'table' and reply.err or ''
end

local p = place(has('r'))
local refused = refusal(p)
if refused then return refused end

if has('r') then
  redis.call('UNLINK', HEAD, STREAM, INDEX)
  redis.call('HSET', ENDING, 'c', last, 't', token)
  redis.call('HDEL', ENDING, 's')
  redis.call('EXPIRE', ENDING, endingKept)
  return {'committed', '', 0, announce()}
end

local now = milliseconds()
p.bytes, p.since = p.bytes or 0, p.since or now
local state = add(p, now)
trim(p, now)
redis.call('HSET', HEAD, 'c', last, 't', token, 'm', meta, 'l', p.length, 'n', p.indexed, 'y', p.bytes, 'g', p.since)
if state then
  redis.call('HSET', HEAD, 's', state)
elseif has('o') then
  redis.call('HDEL', HEAD, 's')
end
if p.claimant then redis.call('HDEL', HEAD, 'w', 'u') end
if expect == '' and p.ending then redis.call('HSET', ENDING, 's', '1') end
return {'committed', last, p.length, announce()}
