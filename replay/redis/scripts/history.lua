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
-- milliseconds (a), its key (k), and, if it is the last of a batch, the batch's
-- token (t). A field without a value is empty. Entries of earlier releases have the
-- state after them (s) before the token; it is not used.
local DATA, TIME, KEY = 2, 4, 6

-- fields returns the fields of an entry, the last of which is the token, and the size
-- in bytes of all that it keeps. It returns none if this store did not write it.
local function fields(entry)
  local f = entry[2]
  if f[1] == 'd' and f[3] == 'a' and f[5] == 'k' then
    local size = #f[DATA] + #f[KEY]
    if #f == 8 and f[7] == 't' then return f, size end
    if #f == 10 and f[7] == 's' and f[9] == 't' then return f, size + #f[8] end
  end
  return {}, 0
end

-- epoch returns the epoch of a cursor.
local function epoch(cursor) return string.match(cursor, '^(%d+)-') or '' end

-- distance returns how many entries follow one cursor up to another one; nil if they
-- are not of the same epoch.
local function distance(from, to)
  local first, last = string.match(from, '-(%d+)$'), string.match(to, '-(%d+)$')
  if first and last and epoch(from) == epoch(to) then return tonumber(last) - tonumber(first) end
end

-- load_history returns where the history is. What is kept of it must agree with
-- what the head counts: h.damage says where it does not, as when one of the keys
-- was evicted. A key of another type than this store gives it is an error here,
-- before any change. The tombstone is read if there is no head, or if asked for.
--
-- The snapshot itself (z) may be large, so only the script that returns it reads it.
-- Earlier releases counted the entries in another field (l), so that they report
-- damage instead of misreading this head, and kept the newest state (s), which is
-- read as a snapshot at the head. The first append brings such a head forward.
local function load_history(with_tombstone)
  local head = redis.call('HMGET', HEAD, 'c', 't', 'e', 'n', 'y', 'g', 'w', 'u', 'p', 'l')
  local h = {
    head = head[1], token = head[2], counted = head[3], snapshot_at = head[9],
    length = redis.call('XLEN', STREAM), indexed = redis.call('HLEN', INDEX),
    bytes = tonumber(head[5] or 'none'), since = tonumber(head[6] or 'none'),
    reserved_by = head[7], reserved_until = tonumber(head[8] or 'none'),
  }
  if h.head and not h.counted and head[10] then
    h.is_earlier, h.counted, h.snapshot_at = true, head[10], h.head
  end
  if with_tombstone or not h.head then
    local tombstone = redis.call('HMGET', TOMBSTONE, 'c', 't', 's')
    h.tombstone, h.tombstone_token, h.recreated = tombstone[1], tombstone[2], tombstone[3]
  end
  if h.head then
    h.after_snapshot = distance(h.snapshot_at or '', h.head)
    if tonumber(h.counted or 'none') ~= h.length then
      h.damage = 'its head counts ' .. tostring(h.counted) .. ' entries, its stream has ' .. h.length
    elseif tonumber(head[4] or 'none') ~= h.indexed then
      h.damage = 'its head counts ' .. tostring(head[4]) .. ' idempotency keys, its index has ' .. h.indexed
    elseif not h.bytes or not h.since or not h.snapshot_at then
      h.damage = 'its head lacks a part'
    elseif not h.after_snapshot or h.after_snapshot < 0 or h.after_snapshot > h.length then
      h.damage = 'its snapshot is at ' .. h.snapshot_at .. ', its head at ' .. h.head .. ', its stream has ' .. h.length .. ' entries'
    end
  elseif h.length > 0 or h.indexed > 0 then
    h.damage = 'its head is missing, but ' .. h.length .. ' entries and ' .. h.indexed .. ' idempotency keys are there'
  elseif redis.call('EXISTS', HEAD) == 1 then
    h.damage = 'its head has no position'
  end
  return h
end
