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
