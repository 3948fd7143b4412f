-- Who is in presence channels, as far as it is not too much at once.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] most members, then channels
-- Answer: "occupants", then of each channel: -1 if its members are too many, else n and
-- n × (member, record as members.lua has it)

if fenced() then
  return answer("fenced")
end
local room, occupants = tonumber(ARGV[11]), answer("occupants")
for i = 12, #ARGV do
  local key = B .. ":m:" .. ARGV[10] .. "/p/" .. ARGV[i]
  local members = call("HLEN", key)
  if members > room then
    occupants[#occupants + 1] = -1
  else
    room = room - members
    occupants[#occupants + 1] = members
    for _, part in ipairs(call("HGETALL", key)) do
      occupants[#occupants + 1] = part
    end
  end
end
return occupants
