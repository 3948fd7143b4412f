-- Registers a node's live subscriptions to a subject again, and in a young epoch hands back, as
-- departing, the members that it knows from others.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] subject  [11] 1: the roster is wanted
-- [12] n, then n × (subscription, user, info, stamp, grace in µs, flags)
-- then k, and k × (user, info, stamp, flags)
-- Answer: "roster", as rosters.lua has it; "restored" if it is not wanted

if fenced() then
  return answer("fenced")
end
local node, subject, last = ARGV[7], ARGV[10], 12
for _ = 1, tonumber(ARGV[12]) do
  local subscription, user, info = ARGV[last + 1], ARGV[last + 2], ARGV[last + 3]
  local stamp, grace, flags = tonumber(ARGV[last + 4]), ARGV[last + 5], tonumber(ARGV[last + 6])
  enter(node, subject, user, subscription, info, grace, flags, 0, stamp)
  last = last + 6
end
last = last + 1
local known = clock < born + LEASE and tonumber(ARGV[last]) or 0
local held = born + 2 * LEASE
for _ = 1, known do
  local user, info, stamp = ARGV[last + 1], ARGV[last + 2], tonumber(ARGV[last + 3])
  if call("HGET", B .. ":m:" .. subject, user) == false then
    local member = {
      connections = 0, held = held, stamp = stamp, flags = tonumber(ARGV[last + 4]), info = info,
    }
    appear(subject, user, member, {})
    schedule_departure(subject, user, held)
  end
  last = last + 4
end
save()
if ARGV[11] == "1" then
  return answer_roster(subject)
end
return answer("restored")
