-- ARGV: how many bytes, then the keys. Returns how many of the keys were looked up
-- besides the entries found.
local h = load_history()
if h.damage then return {'damaged', h.damage} end
if not h.head then return {'removed'} end
local cursors, of = {}, {}
for i = 2, #ARGV do
  local cursor = redis.call('HGET', INDEX, ARGV[i])
  if cursor then
    cursors[#cursors + 1] = cursor
    of[#cursors] = i - 1
  end
end
local entries, used, without_entry = at(cursors, tonumber(ARGV[1]))
if without_entry then return damaged_index(without_entry) end
local looked_up = #ARGV - 1
if used < #cursors then looked_up = of[used + 1] - 1 end
return {'at', h.head, h.length, looked_up, entries}
