-- What all scripts have in common; it stands before each of them. A server runs all
-- of a script each time, so what few of them use is in files of its own.
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
