-- ARGV: the publish command and the channel.
local h = load_history()
if h.damage then return {'damaged', h.damage} end
if not h.head then return missing(h, ARGV[1], ARGV[2]) end
local newest = redis.call('HMGET', HEAD, 's', 'm')
return {'at', h.head, h.length, newest[1], newest[2]}
