-- What a channel has on all nodes.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] channel
-- Answer: "channel", uncertain 0/1, subscriptions, users (members of a presence channel)

if fenced() then
  return answer("fenced")
end
local subscriptions = call("HGET", B .. ":c:" .. ARGV[10], ARGV[11])
local users = call("HGET", B .. ":p:" .. ARGV[10], ARGV[11])
return answer("channel", is_uncertain() and 1 or 0, tonumber(subscriptions or 0),
  tonumber(users or 0))
