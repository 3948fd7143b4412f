-- Compares the settings that all nodes must share with those in B:deployment, a hash. Where they
-- differ they are replaced once no lease is left in this partition (0).
--
-- ARGV[7] version of the scripts  [8] lease in µs  [9] partitions
-- Answer: "ok"; "differs", version, lease in µs, partitions as stored

local wanted = { ARGV[7], ARGV[8], ARGV[9] }
local stored = call("HMGET", B .. ":deployment", "version", "lease", "partitions")
LEASE = tonumber(stored[2] or ARGV[8])
read_state()
end_silence()
save()
local same = stored[1] == wanted[1] and stored[2] == wanted[2] and stored[3] == wanted[3]
if same then
  return answer("ok")
end
local leases = call("ZRANGEBYSCORE", B .. ":lease", "(" .. text(clock), "+inf", "LIMIT", 0, 1)
if stored[1] and #leases > 0 then
  return answer("differs", stored[1], tonumber(stored[2]), tonumber(stored[3]))
end
call("HSET", B .. ":deployment", "version", ARGV[7], "lease", ARGV[8], "partitions", ARGV[9])
return answer("ok")
