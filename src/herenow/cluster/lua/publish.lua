-- Publishes events on the pub/sub channels of their names, keeping those that are cached: all, in
-- their order, or none.
--
-- B:l:<name>  string with an expiry: "<bytes of message> <message><data>"
--
-- KEYS[i] B of the partition of event i
-- ARGV from 7, of each event: P of its partition, name, message, ms to keep it ("0": not), data
-- Answer: "published", 0, 0. Asks for no session.

for i = 1, #KEYS do
  local first = 7 + 5 * (i - 1)
  local name, message, ttl, data = ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], ARGV[first + 4]
  if ttl ~= "0" then
    call("SET", KEYS[i] .. ":l:" .. name, #message .. " " .. message .. data, "PX", ttl)
    call("DEL", KEYS[i] .. ":miss:" .. name)
  end
end
for first = 7, #ARGV, 5 do
  call(PUBLISH, ARGV[first] .. ":b:" .. ARGV[first + 1], ARGV[first + 2])
end
return { "published", 0, 0 }
