-- What an application uses, this partition's share.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app
-- Answer: "totals", uncertain 0/1, connections, occupied channels, users, members

if fenced() then
  return answer("fenced")
end
local totals = call("HMGET", B .. ":t:" .. ARGV[10], "connections", "channels", "users", "members")
local occupied = call("HLEN", B .. ":p:" .. ARGV[10])
return answer("totals", is_uncertain() and 1 or 0, tonumber(totals[1] or 0),
  occupied + tonumber(totals[2] or 0), tonumber(totals[3] or 0), tonumber(totals[4] or 0))
