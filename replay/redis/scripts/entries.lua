-- Entries are read from the stream with a bound on their size in bytes.

-- collect adds entries to those found, each as its cursor, data and key, and returns
-- their size in bytes as they are kept. An entry that this store did not write has
-- its cursor only.
local function collect(some, found)
  local size = 0
  for i = 1, #some do
    local f, kept = fields(some[i])
    found[#found + 1] = {some[i][1], f[DATA], f[KEY]}
    size = size + kept + 64
  end
  return size
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
