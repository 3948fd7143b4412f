-- Lets buried events wait again.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint  [11] most, if no ids follow
-- Answer: "revived", how many

if fenced() then
  return answer("fenced")
end
local endpoint, positions, revived = ARGV[10], {}, 0
if #ARGV == 11 then
  positions = call("ZRANGE", W .. "b:" .. endpoint, 0, text(tonumber(ARGV[11]) - 1))
end
for i = 12, #ARGV do
  positions[#positions + 1] = position_of(endpoint, ARGV[i])
end
for _, position in ipairs(positions) do
  if call("ZREM", W .. "b:" .. endpoint, position) == 1 then
    call("ZADD", W .. "q:" .. endpoint, position, position)
    revived = revived + 1
  end
end
if revived > 0 then
  tell_reader("r " .. endpoint)
end
return answer("revived", revived)
