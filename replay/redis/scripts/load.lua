-- ARGV: the publish command, the channel, and the position at which the caller has the
-- state. The snapshot is left out if the entries after that position suffice.
local h = load_history()
if h.damage then return {'damaged', h.damage} end
if not h.head then return missing(h, ARGV[1], ARGV[2]) end
local behind, snapshot = distance(ARGV[3], h.head), ''
if not behind or behind < 0 or behind > h.after_snapshot then
  snapshot = redis.call('HGET', HEAD, h.is_earlier and 's' or 'z')
  if not snapshot and not h.is_earlier then return {'damaged', 'its snapshot at ' .. h.snapshot_at .. ' is missing'} end
end
return {'at', h.head, h.length, h.snapshot_at, snapshot, redis.call('HGET', HEAD, 'm')}
