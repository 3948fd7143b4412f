-- Events that are here for an endpoint, in the order of their positions.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint  [11] position beyond which  [12] most
-- [13] 1: buried ones only
-- Answer: "events", then n × (position, 1 if it is buried, record), up to the most of each sort

if fenced() then
  return answer("fenced")
end
local endpoint, events = ARGV[10], answer("events")
for buried, key in pairs({ [0] = "q:", [1] = "b:" }) do
  if buried == 1 or ARGV[13] ~= "1" then
    list_events(events, endpoint, call("ZRANGEBYSCORE", W .. key .. endpoint, "(" .. ARGV[11],
      "+inf", "LIMIT", 0, ARGV[12]), buried)
  end
end
return events
