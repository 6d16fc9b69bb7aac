-- ARGV: how many bytes, then the keys. Returns how many of the keys were looked
-- for besides what was found.
local p = place()
if p.damage then return {'damaged', p.damage} end
if not p.head then return {'removed'} end
local cursors, of = {}, {}
for i = 2, #ARGV do
  local cursor = redis.call('HGET', INDEX, ARGV[i])
  if cursor then
    cursors[#cursors + 1] = cursor
    of[#cursors] = i - 1
  end
end
local entries, done, missing = at(cursors, tonumber(ARGV[1]))
if missing then return lost(missing) end
if done < #cursors then done = of[done + 1] - 1 else done = #ARGV - 1 end
return {'at', p.head, p.length, done, entries}
