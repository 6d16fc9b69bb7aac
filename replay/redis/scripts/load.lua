local p = place()
if p.damage then return {'damaged', p.damage} end
if not p.head then return {'none'} end
local newest = redis.call('HMGET', HEAD, 's', 'm')
return {'at', p.head, p.length, newest[1], newest[2]}
