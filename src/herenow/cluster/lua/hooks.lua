-- Webhooks: what every endpoint was told, and the events that wait for it. One node reads the
-- outbox of a partition, its reader: field `reader` of B:state.
--
-- A fact is "<bytes of lane> <lane>" and, for a member of the channel, "m<member>". A lane is "c"
-- and a channel, or "u" and a user. Of each endpoint E:
--
-- B:w:told:<E>  hash: fact -> "<sequence> <made> <bytes of id> <id><info>" of the event that told
--               it; no id: it was told without one
-- B:w:lane:<E>  hash: lane -> "<sequence> <facts told> <engine time used last>"
-- B:w:q:<E>     zset: positions of the events that wait;  B:w:b:<E>  of those that are buried
-- B:w:l:<E>:<lane>  zset: positions of the lane, both
-- B:w:x:<E>     hash: position -> "<made> <holds> <sequence> <again> <bytes of id> <of lane>
--               <of member> <of before> <id><lane><member><before><info>"; before: what
--               B:w:told had of the fact that a removal ends
-- B:w:f:<E>     hash: fact -> position of the last event about it that is here
-- B:w:n:<E>     hash: position -> position of the next event about the same fact, and
--               -position -> of the one before. If the next was delivered, it stays the next: who
--               has it is past this one.
-- B:w:r:<E>     hash: id -> position of the event that tells again
-- B:w:s:<E>     hash: adrift, and what the node notes of the endpoint
--
-- B:w:ends      zset: endpoint -> engine time when a node knew it last
-- B:w:apps      hash: app with endpoints -> engine time when a reader said so last
-- B:state       position: of the last event, engine time in µs at first and then + 1

local W = B .. ":w:"

local function is_reader()
  return call("HGET", B .. ":state", "reader") == ARGV[7]
end

local function reader_lives()
  local reader = call("HGET", B .. ":state", "reader")
  local lease = reader and call("ZSCORE", B .. ":lease", reader)
  return lease and tonumber(lease) > clock
end

-- Tells the reader that events of an endpoint changed behind it.
local function tell_reader(message)
  call(PUBLISH, P .. ":out", message)
end

local function fact_of(lane, member)
  return #lane .. " " .. lane .. member
end

-- Lane and "" or "m<member>".
local function split_fact(fact)
  local length, rest = match(fact, "^(%d+) (.*)$")
  return rest:sub(1, tonumber(length)), rest:sub(tonumber(length) + 1)
end

local function read_lane(endpoint, lane)
  local record = call("HGET", W .. "lane:" .. endpoint, lane)
  if not record then
    return floor(now / 1000), 0
  end
  local sequence, told = match(record, "^(%d+) (%d+)")
  return tonumber(sequence), tonumber(told)
end

local function write_lane(endpoint, lane, sequence, told)
  call("HSET", W .. "lane:" .. endpoint, lane,
    format("%.0f %.0f %.0f", sequence, max(told, 0), now))
end

local function last_position()
  return tonumber(call("HGET", B .. ":state", "position") or 0)
end

local function next_position()
  local last = last_position()
  local position = last > 0 and last + 1 or now
  call("HSET", B .. ":state", "position", text(position))
  return text(position)
end

local function read_event(endpoint, position)
  local record = call("HGET", W .. "x:" .. endpoint, position)
  if not record then
    return nil
  end
  local made, holds, sequence, again, id, lane, member, before, rest =
    match(record, "^(%d+) (%d) (%d+) (%d) (%d+) (%d+) (%d+) (%d+) (.*)$")
  local last = 0
  local function part(length)
    last = last + tonumber(length)
    return rest:sub(last - tonumber(length) + 1, last)
  end
  return {
    made = tonumber(made), holds = holds == "1", sequence = tonumber(sequence),
    again = again == "1", id = part(id), lane = part(lane), member = part(member),
    before = part(before), info = rest:sub(last + 1),
  }
end

local function write_event(endpoint, position, event)
  call("HSET", W .. "x:" .. endpoint, position, format("%.0f %d %.0f %d %d %d %d %d ", event.made,
    event.holds and 1 or 0, event.sequence, event.again and 1 or 0, #event.id, #event.lane,
    #event.member, #event.before) .. event.id .. event.lane .. event.member .. event.before
    .. event.info)
end

-- Adds an event; without an id it gets one of its own. Answers the id and the position.
local function append(endpoint, event)
  local position = next_position()
  local id = event.id or format("%s-%.0f-%s", match(B, "{(%d+)}$"), epoch, position)
  event.id = id
  write_event(endpoint, position, event)
  call("ZADD", W .. "q:" .. endpoint, position, position)
  call("ZADD", W .. "l:" .. endpoint .. ":" .. event.lane, position, position)
  if event.again then
    call("HSET", W .. "r:" .. endpoint, id, position)
    return id, position
  end
  local fact = fact_of(event.lane, event.member)
  local previous = call("HGET", W .. "f:" .. endpoint, fact)
  if previous then
    call("HSET", W .. "n:" .. endpoint, previous, position, "-" .. position, previous)
  end
  call("HSET", W .. "f:" .. endpoint, fact, position)
  return id, position
end

local function forget_event(endpoint, position, event)
  if call("ZREM", W .. "q:" .. endpoint, position) == 0 then
    call("ZREM", W .. "b:" .. endpoint, position)
  end
  call("ZREM", W .. "l:" .. endpoint .. ":" .. event.lane, position)
  call("HDEL", W .. "x:" .. endpoint, position)
  if event.again then
    if call("HGET", W .. "r:" .. endpoint, event.id) == position then
      call("HDEL", W .. "r:" .. endpoint, event.id)
    end
    return
  end
  call("HDEL", W .. "n:" .. endpoint, position, "-" .. position)
  local fact = fact_of(event.lane, event.member)
  if call("HGET", W .. "f:" .. endpoint, fact) == position then
    call("HDEL", W .. "f:" .. endpoint, fact)
  end
end

-- In one step: what was told and the events that tell it make no sense without each other.
local function forget_endpoint(endpoint)
  for _, lane in ipairs(call("HKEYS", W .. "lane:" .. endpoint)) do
    call("UNLINK", W .. "l:" .. endpoint .. ":" .. lane)
  end
  for _, key in ipairs({ "q:", "b:", "told:", "lane:", "f:", "n:", "r:", "x:", "s:" }) do
    call("UNLINK", W .. key .. endpoint)
  end
  call("ZREM", W .. "ends", endpoint)
end

-- Tells an endpoint that a fact holds or no longer does, unless it was told so last. `silent`: it
-- does not want the event. True if there is an event.
local function settle(endpoint, lane, member, holds, silent, info)
  local told, fact = W .. "told:" .. endpoint, fact_of(lane, member)
  local before = call("HGET", told, fact)
  local unheard = before and holds and not silent and match(before, "^%d+ %d+ 0 ")
  if (before and true or false) == holds and not unheard then
    return false
  end
  local sequence, facts = read_lane(endpoint, lane)
  local id = ""
  if not silent then
    sequence = sequence + 1
    id = append(endpoint, {
      made = now, holds = holds, sequence = sequence, lane = lane, member = member,
      before = before or "", info = info,
    })
  end
  if not holds then
    call("HDEL", told, fact)
    facts = facts - 1
  else
    call("HSET", told, fact, format("%.0f %.0f %d ", sequence, now, #id) .. id .. info)
    facts = facts + (before and 0 or 1)
  end
  write_lane(endpoint, lane, sequence, facts)
  return not silent
end

-- Whether an event is here.
local function is_here(endpoint, position)
  return position and call("HGET", W .. "x:" .. endpoint, position) and true or false
end

-- Whether a later event about the same fact was delivered.
local function is_passed(endpoint, position)
  local following = call("HGET", W .. "n:" .. endpoint, position)
  return following and not is_here(endpoint, following)
end

-- An endpoint has what was told again: it is past the event that told it first.
local function pass_first(endpoint, position, again)
  local first = match(again.id, "^%d+%-%d+%-(%d+)$")
  local event = first and read_event(endpoint, first)
  if not event or event.id ~= again.id then
    return
  end
  local chain, last = W .. "n:" .. endpoint, W .. "f:" .. endpoint
  local fact, following = fact_of(again.lane, again.member), call("HGET", chain, first)
  if following then
    call("HDEL", chain, "-" .. following)
  end
  call("HSET", chain, first, position)
  if call("HGET", last, fact) == first then
    call("HDEL", last, fact)
  end
end

local function told_id(told)
  local length, rest = match(told, "^%d+ %d+ (%d+) (.*)$")
  return rest:sub(1, tonumber(length))
end

-- What an event that is never delivered told counts as not told.
local function take_back(endpoint, event)
  local told, fact = W .. "told:" .. endpoint, fact_of(event.lane, event.member)
  local before = call("HGET", told, fact)
  if (before and true or false) ~= event.holds
    or event.holds and told_id(before) ~= event.id then
    return
  end
  local sequence, facts = read_lane(endpoint, event.lane)
  if event.holds then
    call("HDEL", told, fact)
    write_lane(endpoint, event.lane, sequence, facts - 1)
  elseif event.before ~= "" then
    call("HSET", told, fact, event.before)
    write_lane(endpoint, event.lane, sequence, facts + 1)
  end
  call("HSET", W .. "s:" .. endpoint, "adrift", "1")
end

-- What was told before a removal holds still, if the addition that undoes it is not heard of.
local function tell_before(endpoint, removal, addition, behind)
  local told, fact = W .. "told:" .. endpoint, fact_of(removal.lane, removal.member)
  local event, now_told = behind and read_event(endpoint, behind), call("HGET", told, fact)
  if event and not event.holds then
    event.before = removal.before
    write_event(endpoint, behind, event)
  elseif not behind and now_told and told_id(now_told) == addition.id then
    call("HSET", told, fact, removal.before)
  end
end

-- Closes the row of events about a fact where some were taken out of it.
local function close_gap(endpoint, fact, before, behind)
  local chain, has_before = W .. "n:" .. endpoint, is_here(endpoint, before)
  if has_before and behind then
    call("HSET", chain, before, behind)
  elseif has_before then
    call("HDEL", chain, before)
    call("HSET", W .. "f:" .. endpoint, fact, before)
  end
  if has_before and is_here(endpoint, behind) then
    call("HSET", chain, "-" .. behind, before)
  elseif behind then
    call("HDEL", chain, "-" .. behind)
  end
end

-- What tells again what nobody hears of goes, too. Answers how many.
local function forget_again(endpoint, event)
  local position = event.holds and call("HGET", W .. "r:" .. endpoint, event.id)
  local again = position and read_event(endpoint, position)
  if not again then
    return 0
  end
  forget_event(endpoint, position, again)
  return 1
end

-- Positions of events that are being delivered: dropping leaves them alone.
local under_way, number_under_way = {}, 0

-- Reads them from ARGV. What is told again is under way where it was told first, too.
local function read_under_way(endpoint, first)
  for i = first, #ARGV do
    under_way[ARGV[i]], number_under_way = true, number_under_way + 1
    local event = read_event(endpoint, ARGV[i])
    local told_first = event and event.again and match(event.id, "^%d+%-%d+%-(%d+)$")
    if told_first then
      under_way[told_first], number_under_way = true, number_under_way + 1
    end
  end
end

-- Positions of a zset that are not under way, the first of them, at most `most`.
local function droppable(key, most)
  local positions = {}
  for _, position in ipairs(call("ZRANGE", key, 0, text(most + number_under_way - 1))) do
    if #positions < most and not under_way[position] then
      positions[#positions + 1] = position
    end
  end
  return positions
end

-- Never delivers an event, nor the one that undoes it. Answers how many are gone.
local function drop(endpoint, position)
  local event = not under_way[position] and read_event(endpoint, position)
  if not event then
    return 0
  end
  if event.again then
    forget_event(endpoint, position, event)
    return 1
  end
  local chain, fact = W .. "n:" .. endpoint, fact_of(event.lane, event.member)
  local before, following = call("HGET", chain, "-" .. position), call("HGET", chain, position)
  local undoing = following and read_event(endpoint, following)
  if undoing and undoing.holds ~= event.holds and not under_way[following]
    and not is_passed(endpoint, following) then
    local behind = call("HGET", chain, following)
    forget_event(endpoint, position, event)
    forget_event(endpoint, following, undoing)
    close_gap(endpoint, fact, before, behind)
    if not event.holds then
      tell_before(endpoint, event, undoing, behind)
    end
    return 2 + forget_again(endpoint, event)
  end
  forget_event(endpoint, position, event)
  close_gap(endpoint, fact, before, following)
  if following then
    return 1
  end
  take_back(endpoint, event)
  return 1 + forget_again(endpoint, event)
end

-- The position of the event with this id, or nil.
local function position_of(endpoint, id)
  local again = call("HGET", W .. "r:" .. endpoint, id)
  local position = match(id, "^%d+%-%d+%-(%d+)$")
  local event = position and read_event(endpoint, position)
  if event and event.id == id then
    return position
  end
  return again or nil
end

-- n × (position, 1 if it is buried, record).
local function list_events(answers, endpoint, positions, buried)
  for _, position in ipairs(positions) do
    local record = call("HGET", W .. "x:" .. endpoint, position)
    if record then
      local last = #answers
      answers[last + 1], answers[last + 2], answers[last + 3] = position, buried, record
    end
  end
  return answers
end
