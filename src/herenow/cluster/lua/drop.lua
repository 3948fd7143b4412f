-- Never delivers events, nor those that undo them.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint  [11] most, if no ids follow
-- [12] number of ids, then ids, then positions that are under way
-- Answer: "dropped", how many are gone; "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
local endpoint, positions, dropped = ARGV[10], {}, 0
local ids = tonumber(ARGV[12])
read_under_way(endpoint, 13 + ids)
if ids == 0 then
  for _, key in ipairs({ "b:", "q:" }) do
    for _, position in ipairs(droppable(W .. key .. endpoint, tonumber(ARGV[11]))) do
      positions[#positions + 1] = position
    end
  end
end
for i = 13, 12 + ids do
  positions[#positions + 1] = position_of(endpoint, ARGV[i])
end
for _, position in ipairs(positions) do
  dropped = dropped + drop(endpoint, position)
end
if dropped > 0 then
  tell_reader("r " .. endpoint)
end
return answer("dropped", dropped)
