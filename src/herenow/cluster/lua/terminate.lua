-- Tells all nodes to close the connections of a user, on the feed and for ten leases in B:ends,
-- zset "<seq> <subject>" -> clock, for those whose feed was broken.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] subject of the user
-- Answer: "terminated"

if fenced() then
  return answer("fenced")
end
call("ZADD", B .. ":ends", text(clock), text(seq + 1) .. " " .. ARGV[10])
call("ZREMRANGEBYSCORE", B .. ":ends", "-inf", text(clock - 10 * LEASE))
publish_delta("x", 0, now, ARGV[10], "", "")
save()
return answer("terminated")
