-- What this partition knows of many users.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] n: of as many it is the partition, then users,
-- these first
-- Answer: "users", uncertain 0/1, engine time, of each of the n his record or "" as signed in, then
-- of each user the engine time when he was seen or ""

if fenced() then
  return answer("fenced")
end
local app, known = ARGV[10], answer("users", is_uncertain() and 1 or 0, now)
local last = #known
for i = 12, 11 + tonumber(ARGV[11]) do
  last = last + 1
  known[last] = call("HGET", B .. ":m:" .. app .. "/u/" .. ARGV[i], ARGV[i]) or ""
end
for i = 12, #ARGV do
  local seen = call("ZSCORE", B .. ":seen", app .. "/" .. ARGV[i])
  last = last + 1
  known[last] = seen and text(tonumber(seen)) or ""
end
return known
