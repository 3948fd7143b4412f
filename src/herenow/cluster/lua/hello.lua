-- A node begins its lease, or a new command connection under it.
--
-- ARGV[7] node  [8] token, higher than that of the last connection  [9] epoch it knew, 0 none
-- [10] 1: a lease under an id never used before, 0: the lease it has  [11] its old node id or ""
-- Answer: "new", "ok"; "lapsed": there is no such lease; "stale": a later connection was here.

local node, token, known_epoch = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local create, old = ARGV[10] == "1", ARGV[11]

read_state()
local last = call("HGET", B .. ":token", node)
if not create and (not last or known_epoch ~= epoch) then
  return answer("lapsed")
end
if token <= tonumber(last or 0) then
  return answer("stale")
end
end_silence()
call("ZADD", B .. ":lease", text(clock + LEASE), node)
call("HSET", B .. ":token", node, ARGV[8])
if create and old ~= "" then
  call("HSET", B .. ":heir", old, node)
end
local lost = create and known_epoch ~= 0 and known_epoch ~= epoch
if lost and clock < born + 2 * LEASE then
  recover = max(recover, born + 2 * LEASE)
end
save()
return answer(create and "new" or "ok")
