-- What the other scripts have in common; it stands before each of them.
--
-- KEYS: of one history, the head, the stream, the index of idempotency keys, the
-- tombstone. Cursors are text, <epoch>-<revision>, and epochs are never converted
-- to numbers: a number in Lua is exact up to 2^53 only.
if redis.replicate_commands then redis.replicate_commands() end -- for servers that are set up as before 5.0

local HEAD, STREAM, INDEX, TOMBSTONE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- Each entry of the stream has these fields, in this order, so that the server
-- keeps their names once for many entries: its data (d), when it was appended in
-- milliseconds (a), its key (k), the state after it (s), and, if it is the last
-- of a batch, the batch's token (t). A field without a value is empty.
local DATA, TIME, KEY, STATE, TOKEN = 2, 4, 6, 8, 10

-- fields returns the fields of an entry, and none if this store did not write it.
local function fields(entry)
  local f = entry[2]
  if #f == TOKEN and f[1] == 'd' and f[3] == 'a' and f[5] == 'k' and f[7] == 's' and f[9] == 't' then return f end
  return {}
end

-- epoch returns the epoch of a cursor.
local function epoch(cursor) return string.match(cursor, '^(%d+)-') or '' end

-- later reports whether epoch a is later than epoch b.
local function later(a, b) return #a > #b or (#a == #b and a > b) end

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- collect adds entries to those found, each as its cursor, data, key and state, and
-- returns their size in bytes. An entry that this store did not write has its
-- cursor only.
local function collect(some, found)
  local size = 0
  for i = 1, #some do
    local f = fields(some[i])
    found[#found + 1] = {some[i][1], f[DATA], f[KEY], f[STATE]}
    if f[DATA] then size = size + #f[DATA] + #f[KEY] + #f[STATE] end
    size = size + 64
  end
  return size
end

-- load_history returns where the history is. What is kept of it must agree with
-- what the head counts: h.damage says where it does not, as when one of the keys
-- was evicted. A key of another type than this store gives it is an error here,
-- before any change. The tombstone is read if there is no head, or if asked for.
local function load_history(with_tombstone)
  local head = redis.call('HMGET', HEAD, 'c', 't', 'l', 'n', 'y', 'g', 'w', 'u')
  local h = {
    head = head[1], token = head[2],
    length = redis.call('XLEN', STREAM), indexed = redis.call('HLEN', INDEX),
    bytes = tonumber(head[5] or 'none'), since = tonumber(head[6] or 'none'),
    reserved_by = head[7], reserved_until = tonumber(head[8] or 'none'),
  }
  if with_tombstone or not h.head then
    local tombstone = redis.call('HMGET', TOMBSTONE, 'c', 't', 's')
    h.tombstone, h.tombstone_token, h.recreated = tombstone[1], tombstone[2], tombstone[3]
  end
  if h.head then
    if tonumber(head[3] or 'none') ~= h.length then
      h.damage = 'its head counts ' .. tostring(head[3]) .. ' entries, its stream has ' .. h.length
    elseif tonumber(head[4] or 'none') ~= h.indexed then
      h.damage = 'its head counts ' .. tostring(head[4]) .. ' idempotency keys, its index has ' .. h.indexed
    elseif not h.bytes or not h.since then
      h.damage = 'its head lacks a part'
    end
  elseif h.length > 0 or h.indexed > 0 then
    h.damage = 'its head is missing, but ' .. h.length .. ' entries and ' .. h.indexed .. ' idempotency keys are there'
  elseif redis.call('EXISTS', HEAD) == 1 then
    h.damage = 'its head has no position'
  end
  return h
end

-- range returns up to count entries from first on, and stops early when they have
-- that many bytes. The second result says whether it did.
local function range(h, first, count, bytes)
  local found, size = {}, 0
  local each = math.max(1, h.bytes / math.max(1, h.length))
  while #found < count do
    if size >= bytes then return found, true end
    local block = math.max(1, math.min(count - #found, 1000, math.ceil((bytes - size) / each)))
    local some = redis.call('XRANGE', STREAM, first, '+', 'COUNT', block)
    size = size + collect(some, found)
    if #some < block then return found, false end
    first = '(' .. some[#some][1]
    each = math.max(each, size / #found)
  end
  return found, false
end

-- at returns the entries at cursors, and how many of the cursors it used before the
-- entries had that many bytes. The third result is a cursor of the index at which
-- there is no entry.
local function at(cursors, bytes)
  local found, size = {}, 0
  for i, cursor in ipairs(cursors) do
    if size >= bytes then return found, i - 1 end
    local some = redis.call('XRANGE', STREAM, cursor, cursor)
    if #some == 0 then return found, i - 1, cursor end
    size = size + collect(some, found)
  end
  return found, #cursors
end

-- damaged_index is the reply where at returned a third result.
local function damaged_index(cursor) return {'damaged', 'its index names the entry ' .. cursor .. ', which is missing'} end

-- missing is the reply where there is no history. If no tombstone says that it was
-- removed, it may have been lost while processes follow it. An empty message on
-- the channel has them read the position; the reply says how many they are. PUBLISH
-- returns a number too, but counts those who subscribe to patterns, as to monitor.
-- The publish command is empty if the caller follows the history itself.
local function missing(h, publish, channel)
  if publish == '' or (h.tombstone and not h.recreated) then return {'removed'} end
  local followers = redis.call('PUBSUB', publish == 'SPUBLISH' and 'SHARDNUMSUB' or 'NUMSUB', channel)[2]
  if followers > 0 then redis.call(publish, channel, '') end
  return {'missing', followers, string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')}
end
