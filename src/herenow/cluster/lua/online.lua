-- Which subjects have members.
--
-- ARGV[7] node  [8] token  [9] epoch, then subjects
-- Answer: "online", uncertain 0/1, then of each 0 or 1

if fenced() then
  return answer("fenced")
end
local online = answer("online", is_uncertain() and 1 or 0)
for i = 10, #ARGV do
  online[#online + 1] = call("HLEN", B .. ":m:" .. ARGV[i]) > 0 and 1 or 0
end
return online
