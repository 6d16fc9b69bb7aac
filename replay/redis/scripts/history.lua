-- What the other scripts have in common; it stands before each of them.
--
-- KEYS: of one history, the head, the stream, the index of keys, the ending.
-- Cursors are text, <epoch>-<revision>, and epochs are never made numbers of:
-- a number in Lua is exact up to 2^53 only.
if redis.replicate_commands then redis.replicate_commands() end -- for servers that are set up as before 5.0

local HEAD, STREAM, INDEX, ENDING = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- Each entry of the stream has these fields, in this order, so that the server
-- keeps their names once for many entries: its data (d), when it was appended in
-- milliseconds (a), its key (k), the state after it (s), and, if it is the last
-- of a batch, the batch's token (t). What it does not have is empty.
local DATA, TIME, KEY, STATE, TOKEN = 2, 4, 6, 8, 10

-- fields returns those of an entry, and none where it is not one of ours.
local function fields(entry)
  local f = entry[2]
  if #f == TOKEN and f[1] == 'd' and f[3] == 'a' and f[5] == 'k' and f[7] == 's' and f[9] == 't' then return f end
  return {}
end

-- epoch is that of a cursor.
local function epoch(cursor) return string.match(cursor, '^(%d+)-') or '' end

-- later compares two epochs.
local function later(a, b) return #a > #b or (#a == #b and a > b) end

-- take adds entries to those found, each as its cursor, data, key and state, and
-- returns how many bytes these have. An entry that is not one of ours has its
-- cursor only.
local function take(some, found)
  local size = 0
  for i = 1, #some do
    local f = fields(some[i])
    found[#found + 1] = {some[i][1], f[DATA], f[KEY], f[STATE]}
    if f[DATA] then size = size + #f[DATA] + #f[KEY] + #f[STATE] end
    size = size + 64
  end
  return size
end

-- place says where the history is. What is kept of it must agree with what the
-- head counts: p.damage says where it does not, as when one of the keys was
-- evicted. Keys of a type that is not theirs fail here, before any change. The
-- ending is looked at where there is no head, or if asked for.
local function place(withEnding)
  local head = redis.call('HMGET', HEAD, 'c', 't', 'l', 'n', 'y', 'g', 'w', 'u')
  local p = {
    head = head[1], token = head[2],
    length = redis.call('XLEN', STREAM), indexed = redis.call('HLEN', INDEX),
    bytes = tonumber(head[5] or 'none'), since = tonumber(head[6] or 'none'),
    claimant = head[7], claimedUntil = tonumber(head[8] or 'none'),
  }
  if withEnding or not p.head then
    local ending = redis.call('HMGET', ENDING, 'c', 't', 's')
    p.ending, p.endingToken, p.startedAgain = ending[1], ending[2], ending[3]
  end
  if p.head then
    if tonumber(head[3] or 'none') ~= p.length then
      p.damage = 'its head counts ' .. tostring(head[3]) .. ' entries, its stream has ' .. p.length
    elseif tonumber(head[4] or 'none') ~= p.indexed then
      p.damage = 'its head counts ' .. tostring(head[4]) .. ' idempotency keys, its index has ' .. p.indexed
    elseif not p.bytes or not p.since then
      p.damage = 'its head lacks a part'
    end
  elseif p.length > 0 or p.indexed > 0 then
    p.damage = 'its head is missing, but ' .. p.length .. ' entries and ' .. p.indexed .. ' idempotency keys are there'
  elseif redis.call('EXISTS', HEAD) == 1 then
    p.damage = 'its head has no position'
  end
  return p
end

-- range returns entries from first on, up to a count, and stops early when they
-- have that many bytes. The second result says whether it did.
local function range(p, first, count, bytes)
  local found, size = {}, 0
  local each = math.max(1, p.bytes / math.max(1, p.length))
  while #found < count do
    if size >= bytes then return found, true end
    local block = math.max(1, math.min(count - #found, 1000, math.ceil((bytes - size) / each)))
    local some = redis.call('XRANGE', STREAM, first, '+', 'COUNT', block)
    size = size + take(some, found)
    if #some < block then return found, false end
    first = '(' .. some[#some][1]
    each = math.max(each, size / #found)
  end
  return found, false
end

-- at returns the entries at cursors, and how many of the cursors it came to
-- before they had that many bytes. The third result is a cursor of the index
-- at which there is no entry.
local function at(cursors, bytes)
  local found, size = {}, 0
  for i, cursor in ipairs(cursors) do
    if size >= bytes then return found, i - 1 end
    local some = redis.call('XRANGE', STREAM, cursor, cursor)
    if #some == 0 then return found, i - 1, cursor end
    size = size + take(some, found)
  end
  return found, #cursors
end

-- lost is the reply where at found no entry.
local function lost(cursor) return {'damaged', 'its index names the entry ' .. cursor .. ', which is missing'} end

-- missing is the reply where there is no history. If no tombstone says that it was
-- removed, it may have been lost while processes follow it. An empty message on
-- the channel has them read the position; the reply says how many received it.
-- The publish command is empty if the caller follows the history itself.
local function missing(p, publish, channel)
  if publish == '' or (p.ending and not p.startedAgain) then return {'removed'} end
  local followers = redis.call(publish, channel, '')
  return {'missing', followers, string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')}
end
