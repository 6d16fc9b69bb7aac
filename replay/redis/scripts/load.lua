-- ARGV: what missing() takes.
local p = place()
if p.damage then return {'damaged', p.damage} end
if not p.head then return missing(p, ARGV[1], ARGV[2]) end
local newest = redis.call('HMGET', HEAD, 's', 'm')
return {'at', p.head, p.length, newest[1], newest[2]}
