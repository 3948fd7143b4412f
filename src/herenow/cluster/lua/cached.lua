-- The last cached event of a channel.
--
-- ARGV[7] name
-- Answer: "cached", 0, 0, message, data, ms it is still kept; "missing", 0, 0. Asks for no session.

local key = B .. ":l:" .. ARGV[7]
local event = call("GET", key)
if not event then
  return { "missing", 0, 0 }
end
local length, rest = match(event, "^(%d+) (.*)$")
length = tonumber(length)
return { "cached", 0, 0, rest:sub(1, length), rest:sub(length + 1), call("PTTL", key) }
