-- A reservation is a short lease on the next append to a history: until it expires,
-- the batches of other stores are refused. The head keeps whose it is (w) and until
-- when, in milliseconds (u). Every append ends it.

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- reserved_for returns for how many milliseconds more the next append is reserved
-- for another store.
local function reserved_for(h, store)
  if not h.reserved_by or h.reserved_by == store then return 0 end
  return math.max(0, (h.reserved_until or 0) - milliseconds())
end

-- reserve gives the store a reservation if it asks for one and no other has one, and
-- takes back the one it had if it does not ask.
local function reserve(h, store, duration)
  if duration > 0 and reserved_for(h, store) == 0 then
    redis.call('HSET', HEAD, 'w', store, 'u', milliseconds() + duration)
  elseif duration == 0 and h.reserved_by == store then
    redis.call('HDEL', HEAD, 'w', 'u')
  end
end

local function end_reservation(h)
  if h.reserved_by then redis.call('HDEL', HEAD, 'w', 'u') end
end
