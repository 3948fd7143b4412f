-- Whether a cache channel is found to be empty for the first time in a while, on any node. What is
-- kept for it makes the next time the first again.
--
-- B:miss:<name>  string with an expiry
--
-- ARGV[7] name  [8] ms for which the others are not the first
-- Answer: "first" or "again", 0, 0. Asks for no session.

local key = B .. ":miss:" .. ARGV[7]
if call("GET", key) then
  return { "again", 0, 0 }
end
call("SET", key, "1", "PX", ARGV[8])
return { "first", 0, 0 }
