-- Enters a user by a new subscription.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] subject  [11] user  [12] subscription  [13] info
-- [14] grace in µs should the node die  [15] most members, 0 any number  [16] flags of the member
-- Answer: "joined", 1 if he was not there before, seq at which the info in force was set, 1 if a
-- departure was cancelled; "full"

if fenced() then
  return answer("fenced")
end
local first, stamp, cancelled = enter(ARGV[7], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14],
  tonumber(ARGV[16]), tonumber(ARGV[15]))
if first == nil then
  return answer("full")
end
save()
return answer("joined", first and 1 or 0, stamp, cancelled and 1 or 0)
