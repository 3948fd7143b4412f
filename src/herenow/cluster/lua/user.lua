-- What this partition knows of a user.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] user  [12] cursor, "0" at first
-- [13] how many channels are looked at, roughly
-- Answer: "user", uncertain 0/1, engine time, record or "" of him as signed in, engine time when
-- he was seen or "", cursor ("0": that was all), then the presence channels that he is a member of,
-- some perhaps more than once

if fenced() then
  return answer("fenced")
end
local app, user = ARGV[10], ARGV[11]
local record = call("HGET", B .. ":m:" .. app .. "/u/" .. user, user) or ""
local seen = call("ZSCORE", B .. ":seen", app .. "/" .. user)
local found = call("HSCAN", B .. ":p:" .. app, ARGV[12], "COUNT", ARGV[13])
local known = answer("user", is_uncertain() and 1 or 0, now, record,
  seen and text(tonumber(seen)) or "", found[1])
for i = 1, #found[2], 2 do
  if call("HEXISTS", B .. ":m:" .. app .. "/p/" .. found[2][i], user) == 1 then
    known[#known + 1] = found[2][i]
  end
end
return known
