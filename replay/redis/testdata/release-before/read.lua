-- ARGV: the publish command, the channel, the epoch, where to begin, how many
-- entries, how many bytes.
local h = load_history()
if h.damage then return {'damaged', h.damage} end
if not h.head then return missing(h, ARGV[1], ARGV[2]) end
local entries = {}
if epoch(h.head) == ARGV[3] then
  entries = range(h, ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]))
end
return {'at', h.head, h.length, entries}
