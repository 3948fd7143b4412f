-- What became of a roster since a revision.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] subject  [11] revision
-- Answer: "difference", uncertain 0/1, 1: all of it, then of each member: user, record as
-- members.lua has it; or 0, then of each user of whom something was decided: user, 1 if he was
-- there at the revision, record or ""

if fenced() then
  return answer("fenced")
end
local subject, since = ARGV[10], tonumber(ARGV[11])
local history, members = B .. ":h:" .. subject, B .. ":m:" .. subject
local difference = answer("difference", is_uncertain() and 1 or 0, 1)
if call("HLEN", members) == 0 then
  return difference
end
if not call("ZSCORE", B .. ":asked", subject) then
  begin_history(subject)
end
call("ZADD", B .. ":asked", text(clock), subject)
save()

local transitions, first, floor = call("ZRANGE", history, 0, -1), 1, 0
local decided = {}
for i, transition in ipairs(transitions) do
  local number, moment, kind, user = match(transition, "^(%d+) (%d+) (%a)(.*)$")
  decided[i] = { seq = tonumber(number), kind = kind, user = user }
  if i == 1 or tonumber(moment) < clock - HOUR then
    first, floor = i, tonumber(number)
  end
end
if first > 1 then
  call("ZREMRANGEBYRANK", history, "0", text(first - 2))
end

local last = #difference
if since < floor or since > seq then
  local all = call("HGETALL", members)
  for i = 1, #all do
    difference[last + i] = all[i]
  end
  return difference
end
difference[last] = 0
local seen = {}
for i = first + 1, #decided do
  local user = decided[i].user
  if decided[i].seq > since and not seen[user] then
    seen[user] = true
    difference[last + 1], difference[last + 2] = user, decided[i].kind == "a" and 0 or 1
    difference[last + 3] = call("HGET", members, user) or ""
    last = last + 3
  end
end
return difference
