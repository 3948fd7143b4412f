-- What holds now, some of it: what receivers of an application's events are to believe.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] "c:<app>" channels with subscriptions, "p:<app>" presence
-- channels, "u:<app>" users, "m:<app>/p/<channel>" members  [11] cursor, "0" at first
-- [12] how much, roughly
-- Answer: "present", cursor ("0": that was all), then names; of members each with the record as
-- members.lua has it

if fenced() then
  return answer("fenced")
end
local found = call("HSCAN", B .. ":" .. ARGV[10], ARGV[11], "COUNT", ARGV[12])
local present, step = answer("present", found[1]), ARGV[10]:sub(1, 1) == "m" and 1 or 2
for i = 1, #found[2], step do
  present[#present + 1] = found[2][i]
end
return present
