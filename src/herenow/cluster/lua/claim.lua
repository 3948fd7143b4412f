-- Who reads the outbox of the partition. A reader stays one while he has a lease.
--
-- B:turns  zset: node that takes its turns at reading -> clock when it said so last
--
-- ARGV[7] node  [8] token  [9] epoch  [10] "look", "take": be the reader if there is none, or
-- "give": be it no more, "leave": the same while clients may still be coming back
-- Answer: "claim", 1 if the node is the reader, the reader before this or "", whether he lives 0/1,
-- 1 if endpoints were told something that may have to be taken back, µs since a reader gave the
-- partition up that waited for no returns, or -1, then the nodes with a lease that take their turns

if fenced() then
  return answer("fenced")
end
local gives = ARGV[10] == "give" or ARGV[10] == "leave"
if gives then
  call("ZREM", B .. ":turns", ARGV[7])
else
  call("ZADD", B .. ":turns", text(clock), ARGV[7])
end
call("ZREMRANGEBYSCORE", B .. ":turns", "-inf", text(clock - LEASE))
local before, lives = call("HGET", B .. ":state", "reader") or "", reader_lives()
local reader = before
if gives and before == ARGV[7] then
  reader = ""
elseif ARGV[10] == "take" and not lives then
  reader = ARGV[7]
end
local given = tonumber(call("HGET", B .. ":state", "given"))
if reader ~= before then
  call("HSET", B .. ":state", "reader", reader)
  if ARGV[10] == "give" then
    call("HSET", B .. ":state", "given", text(now))
  elseif ARGV[10] == "leave" then
    call("HDEL", B .. ":state", "given")
  end
end
local function is_something_told()
  for _, endpoint in ipairs(call("ZRANGE", W .. "ends", 0, -1)) do
    if call("HLEN", W .. "told:" .. endpoint) > 0 then
      return 1
    end
  end
  return 0
end

local claim = answer("claim", reader == ARGV[7] and 1 or 0, before, lives and 1 or 0,
  ARGV[10] == "take" and is_something_told() or 0, given and max(now - given, 0) or -1)
for _, node in ipairs(call("ZRANGE", B .. ":turns", 0, -1)) do
  local lease = call("ZSCORE", B .. ":lease", node)
  if lease and tonumber(lease) > clock then
    claim[#claim + 1] = node
  end
end
return claim
