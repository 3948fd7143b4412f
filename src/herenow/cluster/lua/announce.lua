-- Says how many subscriptions a channel has on this node, and tells all nodes how many it has in
-- all: "n <sum>" on the channel's own pub/sub channel.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] name  [11] number  [12] flags
-- [13] µs between two announcements of a sum  [14] above this
-- Answer: "announced", sum; "wait", µs

if fenced() then
  return answer("fenced")
end
local name, number, interval = ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[13])
local sum = change_number(ARGV[7], name, number, read_number(ARGV[7], name), tonumber(ARGV[12]))
local app, channel = match(name, "^([^/]*)/(.*)$")
save()
if sum > tonumber(ARGV[14]) then
  local told = tonumber(call("HGET", B .. ":told:" .. app, channel) or 0)
  if clock - told < interval then
    return answer("wait", told + interval - clock)
  end
end
if sum > 0 then
  call("HSET", B .. ":told:" .. app, channel, text(clock))
end
call(PUBLISH, P .. ":b:" .. name, "n " .. text(sum))
return answer("announced", sum)
