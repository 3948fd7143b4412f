-- Tells an endpoint everything once more that it was told, some of it, and has its reader compare
-- that with what holds.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint  [11] cursor, "0" at first
-- [12] how much, roughly
-- Answer: "again", how many events this makes, cursor ("0": that was all)

if fenced() then
  return answer("fenced")
end
local endpoint, events = ARGV[10], 0
local found = call("HSCAN", W .. "told:" .. endpoint, ARGV[11], "COUNT", ARGV[12])
for i = 1, #found[2], 2 do
  local fact, told = found[2][i], found[2][i + 1]
  local sequence, made, length, rest = match(told, "^(%d+) (%d+) (%d+) (.*)$")
  local id = rest:sub(1, tonumber(length))
  if id ~= "" and not call("HGET", W .. "r:" .. endpoint, id) then
    local lane, member = split_fact(fact)
    append(endpoint, {
      made = now, holds = true, sequence = tonumber(sequence), again = true, id = id, lane = lane,
      member = member, before = "", info = rest:sub(tonumber(length) + 1),
    })
    events = events + 1
  end
end
if found[1] == "0" then
  call("HSET", W .. "s:" .. endpoint, "adrift", "1")
  tell_reader("c " .. endpoint)
elseif events > 0 then
  tell_reader("r " .. endpoint)
end
return answer("again", events, found[1])
