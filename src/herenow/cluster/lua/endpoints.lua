-- Endpoints that no node has known for long.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] engine time before which they were known last
-- Answer: "endpoints", then some of them

if fenced() then
  return answer("fenced")
end
return answer("endpoints",
  unpack(call("ZRANGEBYSCORE", W .. "ends", "-inf", ARGV[10], "LIMIT", 0, 50)))
