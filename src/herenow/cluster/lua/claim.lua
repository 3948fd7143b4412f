-- Who reads the outbox of the partition. A reader stays one while he has a lease.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] "look", "take": be the reader if there is none, or
-- "give": be it no more
-- Answer: "claim", 1 if the node is the reader, the reader before this or "", whether he lives 0/1,
-- 1 if endpoints were told something that may have to be taken back, µs since a reader gave the
-- partition up or -1, then the nodes with a lease

if fenced() then
  return answer("fenced")
end
local nodes = call("ZRANGEBYSCORE", B .. ":lease", "(" .. text(clock), "+inf")
local before, lives = call("HGET", B .. ":state", "reader") or "", false
for _, node in ipairs(nodes) do
  lives = lives or node == before
end
local reader = before
if ARGV[10] == "give" and before == ARGV[7] then
  reader = ""
elseif ARGV[10] == "take" and not lives then
  reader = ARGV[7]
end
local given = tonumber(call("HGET", B .. ":state", "given"))
if reader ~= before then
  call("HSET", B .. ":state", "reader", reader)
  if reader == "" then
    call("HSET", B .. ":state", "given", text(now))
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
for _, node in ipairs(nodes) do
  claim[#claim + 1] = node
end
return claim
