-- ARGV: what missing() takes, the epoch, where to begin, how many entries, how
-- many bytes.
local p = place()
if p.damage then return {'damaged', p.damage} end
if not p.head then return missing(p, ARGV[1], ARGV[2]) end
local entries = {}
if epoch(p.head) == ARGV[3] then
  entries = range(p, ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]))
end
return {'at', p.head, p.length, entries}
