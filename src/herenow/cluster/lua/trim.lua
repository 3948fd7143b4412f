-- Drops what is too old or too much, and forgets lanes that nothing happens in.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint  [11] engine time before which an event or a
-- lane is too old  [12] most events, 0 any number  [13] cursor of lanes, "0" at first
-- [14] how much at once, then positions that are under way
-- Answer: "trimmed", how many events were dropped, 1 if there is more, cursor of lanes ("0": that
-- was all); "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
local endpoint, oldest, limit, most = ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[12]),
  tonumber(ARGV[14])
local waiting, buried, dropped = W .. "q:" .. endpoint, W .. "b:" .. endpoint, 0

read_under_way(endpoint, 15)

local function first_of(key)
  return droppable(key, 1)[1]
end

local function is_old(position)
  local event = position and read_event(endpoint, position)
  return event and event.made < oldest
end

local function is_too_much()
  return limit > 0 and call("ZCARD", waiting) + call("ZCARD", buried) > limit
end

local function next_to_drop()
  local first = first_of(buried)
  if first and (is_old(first) or is_too_much()) then
    return first
  end
  first = first_of(waiting)
  if first and (is_old(first) or is_too_much()) then
    return first
  end
  return nil
end

local position = next_to_drop()
while position and dropped < most do
  dropped = dropped + drop(endpoint, position)
  position = next_to_drop()
end
local found = call("HSCAN", W .. "lane:" .. endpoint, ARGV[13], "COUNT", ARGV[14])
for i = 1, #found[2], 2 do
  local lane = found[2][i]
  local _, facts, used = match(found[2][i + 1], "^(%d+) (%d+) (%d+)$")
  if facts == "0" and tonumber(used) < oldest
    and call("ZCARD", W .. "l:" .. endpoint .. ":" .. lane) == 0 then
    call("HDEL", W .. "lane:" .. endpoint, lane)
  end
end
return answer("trimmed", dropped, position and 1 or 0, found[1])
