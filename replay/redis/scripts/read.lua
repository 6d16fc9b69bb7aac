-- ARGV: the epoch, where to begin, how many entries, how many bytes.
local p = place()
if p.damage then return {'damaged', p.damage} end
if not p.head then return {'none'} end
local entries = {}
if epoch(p.head) == ARGV[1] then
  entries = range(p, ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
end
return {'at', p.head, p.length, entries}
