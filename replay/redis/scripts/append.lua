-- ARGV: what the batch demands and how it is kept, then three for each entry:
-- cursor, key, data. Everything is checked before the first change, and what the
-- server refuses (no memory, no disk, not the master) changes nothing.
local expect, flags, expect_meta, first_epoch, token, meta = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local max_entries, max_bytes, max_age, slack = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local publish, channel, announcement, tombstone_kept = ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local max_missed, reply_bytes = tonumber(ARGV[15]), tonumber(ARGV[16])
local store, reservation, snapshot = ARGV[17], tonumber(ARGV[18]), ARGV[19]
local FIRST, STRIDE, OVERHEAD = 20, 3, 128
local last = ARGV[#ARGV - 2]
local count = (#ARGV - FIRST + 1) / STRIDE

local function has(flag) return string.find(flags, flag, 1, true) ~= nil end
local starts, removes, repeated = has('o'), has('r'), has('a')

-- later reports whether epoch a is later than epoch b.
local function later(a, b) return #a > #b or (#a == #b and a > b) end

-- committed reports whether this very batch was committed before: its sender did
-- not get the reply and sends it again.
local function committed(h)
  if h.head == last and h.token == token then return true end
  if h.tombstone == last and h.tombstone_token == token then return true end
  if not h.head then return false end
  local some = redis.call('XRANGE', STREAM, last, last)
  if #some == 0 then return false end
  local f = fields(some[1])
  return f[#f] == token
end

-- in_doubt reports whether a batch that is sent again and refused with that code may have
-- been committed before, or may be when the first sending arrives late. Only a batch
-- that was refused for good may be decided again by its sender.
local function in_doubt(h, code)
  if code == 'reserved' then return true end -- the first may arrive after the reservation
  if code ~= 'moved' then return false end   -- the history is where it was before the batch
  if expect == '' then return true end       -- the first may arrive after a removal
  local beyond = h.tombstone and distance(h.tombstone, last)
  if beyond and beyond >= 0 then return false end -- the history ended before the batch would
  -- Entries are trimmed in their order, and a removal forgets all of them: where there is
  -- one from before the batch, the batch would be there too.
  return #redis.call('XRANGE', STREAM, '-', last, 'COUNT', 1) == 0
end

-- missed returns the entries after the expected position, if they are not many.
local function missed(h)
  local behind = distance(expect, h.head)
  if not behind or behind <= 0 or behind > max_missed then return {} end
  local entries, cut = range(h, '(' .. expect, max_missed, reply_bytes)
  if cut then return {} end
  return entries
end

-- known is the refusal if there are entries with keys of the batch.
local function known(h)
  if h.indexed == 0 then return nil end
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
  local entries, used, without_entry = at(cursors, reply_bytes)
  if without_entry then return damaged_index(without_entry) end
  return {'known', #cursors - used, entries}
end

-- refusal is the reply if the batch may not be committed, or was before.
local function refusal(h)
  if h.damage then return {'damaged', h.damage} end
  if (h.head or '') ~= expect then
    if committed(h) then return {'committed', h.head or ''} end
    if h.head then
      reserve(h, store, reservation)
      return {'moved', h.head, 0, missed(h)}
    end
    if h.tombstone and not h.recreated then return {'moved', h.tombstone, 1, {}} end
    return {'moved', '', 0, {}}
  end
  if expect == '' and h.tombstone and not later(first_epoch, epoch(h.tombstone)) then
    if committed(h) then return {'committed', ''} end
    return {'moved', h.tombstone, 1, {}}
  end
  if has('m') and (redis.call('HGET', HEAD, 'm') or '') ~= expect_meta then return {'replaced'} end
  local refused = has('k') and known(h)
  if refused then return refused end
  local left = starts and 0 or reserved_for(h, store)
  if left > 0 then return {'reserved', left} end
end

-- add appends the entries and puts their keys into the index.
local function add(h, now)
  for i = FIRST, #ARGV, STRIDE do
    local cursor, key, data = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    redis.call('XADD', STREAM, cursor, 'd', data, 'a', now, 'k', key, 't', cursor == last and token or '')
    if key ~= '' then h.indexed = h.indexed + redis.call('HSET', INDEX, key, cursor) end
    h.bytes = h.bytes + #key + #data + OVERHEAD
  end
  h.length = h.length + count
end

-- replace_snapshot keeps the snapshot of the batch, or makes one of the state that an
-- earlier release kept. Otherwise the snapshot stays; a batch that starts has one.
local function replace_snapshot(h)
  if snapshot ~= '' then
    h.snapshot_at = last
  elseif h.is_earlier then
    snapshot = redis.call('HGET', HEAD, 's') or ''
  else
    return
  end
  redis.call('HSET', HEAD, 'p', h.snapshot_at, 'z', snapshot)
  if h.is_earlier then redis.call('HDEL', HEAD, 'l', 's') end
end

-- uncount subtracts an entry that is trimmed from what the head counts.
local function uncount(h, entry)
  local f, size = fields(entry)
  local key = f[KEY] or ''
  if key ~= '' and redis.call('HGET', INDEX, key) == entry[1] then
    h.indexed = h.indexed - redis.call('HDEL', INDEX, key)
  end
  h.length = h.length - 1
  h.bytes = h.bytes - size - OVERHEAD
end

-- trim removes the oldest entries above the bounds. It begins when somewhat too
-- much is kept, so that most appends need not trim; it never removes the newest
-- entry, nor entries after the snapshot, nor many more than were appended, so that
-- no append takes long.
local function trim(h, now)
  local many = max_entries > 0 and h.length > max_entries + slack
  local large = max_bytes > 0 and h.bytes > max_bytes
  local oldest = max_age > 0 and now - max_age or 0
  local removable = h.length - math.max(1, distance(h.snapshot_at, last))
  if removable <= 0 or not (many or large or h.since < oldest) then return end
  local room, first, before = max_bytes - max_bytes / 16, '-', h.length
  local left = 2 * count + 256
  local block = math.max(1, math.min(64, math.floor(reply_bytes * h.length / math.max(1, h.bytes))))
  repeat
    local some = redis.call('XRANGE', STREAM, first, '+', 'COUNT', block)
    for _, entry in ipairs(some) do
      h.since = tonumber(fields(entry)[TIME] or '0') or 0
      local above = (many and h.length > max_entries) or (large and h.bytes > room) or h.since < oldest
      if not above or removable <= 0 then
        left = 0
        break
      end
      uncount(h, entry)
      removable = removable - 1
      first = '(' .. entry[1]
    end
    left = left - block
  until left <= 0 or #some < block
  if h.length < before then redis.call('XTRIM', STREAM, 'MAXLEN', h.length) end
end

local h = load_history(removes or repeated)
local refused = refusal(h)
if refused and repeated and in_doubt(h, refused[1]) then return {'unknown'} end
if refused then return refused end

if removes then
  redis.call('UNLINK', HEAD, STREAM, INDEX)
  redis.call('HSET', TOMBSTONE, 'c', last, 't', token)
  redis.call('HDEL', TOMBSTONE, 's')
  redis.call('EXPIRE', TOMBSTONE, tombstone_kept)
else
  local now = milliseconds()
  h.bytes, h.since = h.bytes or 0, h.since or now
  add(h, now)
  replace_snapshot(h)
  trim(h, now)
  redis.call('HSET', HEAD, 'c', last, 't', token, 'm', meta, 'e', h.length, 'n', h.indexed, 'y', h.bytes, 'g', h.since)
  end_reservation(h)
  if expect == '' and h.tombstone then redis.call('HSET', TOMBSTONE, 's', '1') end
end
-- A user who may not publish gets an error here, although the batch is committed.
redis.call(publish, channel, announcement)
return {'committed', removes and '' or last}
