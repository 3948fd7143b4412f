-- Who is in a subject, "<app>/p/<channel>" or "<app>/u/<user id>", by which subscriptions.
--
-- B:m:<subject>  hash: user -> "<connections> <held> <stamp> <born> <since> <left> <flags> <info>":
--                clock until which a grace holds him; seq at which the info was set; seq and
--                engine time of his addition; engine time of his last leave; flags + 1: outbox
-- B:g:<subject>  zset: departing user -> deadline, the same as in B:due
-- B:e:<node>     hash: subscription -> "<grace> <stamp> <flags> <bytes of subject> <subject><user>"
-- B:p:<app>      hash: presence channel -> number of members
-- B:u:<app>      hash: user who is signed in -> 1
-- B:t:<app>      hash: users signed in, members of presence channels
-- B:seen         zset: "<app>/<user>" -> engine time when the last connection went by which he was
--                signed in, or a member of a channel of this partition

local function read_member(subject, user)
  local record = call("HGET", B .. ":m:" .. subject, user)
  if not record then
    return nil
  end
  local connections, held, stamp, first, since, left, flags, info =
    match(record, "^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$")
  return {
    connections = tonumber(connections), held = tonumber(held), stamp = tonumber(stamp),
    born = tonumber(first), since = tonumber(since), left = tonumber(left),
    flags = tonumber(flags), info = info,
  }
end

local function write_member(subject, user, member)
  call("HSET", B .. ":m:" .. subject, user, format("%.0f %.0f %.0f %.0f %.0f %.0f %.0f ",
    member.connections, member.held, member.stamp, member.born, member.since, member.left,
    member.flags) .. member.info)
end

local function departure_of(subject, user)
  return "m " .. #subject .. " " .. subject .. user
end

-- The name of the channel and its number of members; nil for a user.
local function count_members(subject, by)
  local app, kind, name = match(subject, "^([^/]*)/(%a)/(.*)$")
  if kind ~= "p" then
    add(B .. ":t:" .. app, "users", by)
    if by > 0 then
      call("HSET", B .. ":u:" .. app, name, "1")
    else
      call("HDEL", B .. ":u:" .. app, name)
    end
    return nil
  end
  add(B .. ":t:" .. app, "members", by)
  return app .. "/" .. name, add(B .. ":p:" .. app, name, by)
end

local function schedule_departure(subject, user, deadline)
  call("ZADD", B .. ":due", text(deadline), departure_of(subject, user))
  call("ZADD", B .. ":g:" .. subject, text(deadline), user)
end

local function cancel_departure(subject, user)
  call("ZREM", B .. ":due", departure_of(subject, user))
  call("ZREM", B .. ":g:" .. subject, user)
end

-- A departure that is completed late must not hide a later one.
local function see(app, user, left)
  if keep > 0 then
    call("ZADD", B .. ":seen", "GT", text(left), app .. "/" .. user)
  end
end

local function remove(subject, user, member)
  publish_delta("r", member.stamp, member.left, subject, user, member.info)
  call("HDEL", B .. ":m:" .. subject, user)
  local name, members = count_members(subject, -1)
  see(match(subject, "^[^/]*"), user, member.left)
  if members == 0 then
    forget_history(subject)
  end
  if is_told(member.flags, subject) then
    write_outbox("r", subject, user, member.info, member.left)
    if name and members == 0 then
      write_outbox("v", name, "", "", member.left)
    end
  end
end

local function complete_departure(subject, user)
  local member = read_member(subject, user)
  cancel_departure(subject, user)
  if member then
    remove(subject, user, member)
  end
end

-- Adds a member. Those in `leaving` make room: they depart now, before he is told.
local function appear(subject, user, member, leaving)
  local name, members = count_members(subject, 1)
  for _, departing in ipairs(leaving) do
    complete_departure(subject, departing)
  end
  member.born, member.since, member.left = seq + 1, now, now
  member.stamp = member.stamp or seq + 1
  publish_delta("a", member.stamp, now, subject, user, member.info)
  write_member(subject, user, member)
  if is_told(member.flags, subject) then
    if name and members == 1 then
      write_outbox("o", name, "", "", now)
    end
    write_outbox("a", subject, user, member.info, now)
  end
end

-- Who makes room for a newcomer: the earliest departures, unless they may be about to come
-- back. nil: the subject is full.
local function make_room(subject, limit)
  local members = limit > 0 and call("HLEN", B .. ":m:" .. subject) or 0
  if limit == 0 or members < limit then
    return {}
  end
  local departing = call("ZCARD", B .. ":g:" .. subject)
  if is_uncertain() then
    return members - departing < limit and {} or nil
  end
  local beyond = members + 1 - limit
  if beyond > departing then
    return nil
  end
  return call("ZRANGE", B .. ":g:" .. subject, 0, text(beyond - 1))
end

-- Enters a subscription. `stamp`: it registers again, with the info set at that seq, and whatever
-- the limit; nil: it is new. Answers nil if the subject is full, else whether the user was added,
-- the stamp of his info, whether a departure was cancelled.
local function enter(node, subject, user, subscription, info, grace, flags, limit, stamp)
  local entries = B .. ":e:" .. node
  local entry = call("HGET", entries, subscription)
  if entry and not stamp then
    return false, tonumber(match(entry, "^%d+ (%d+)")), false
  end
  local member = read_member(subject, user)
  local first, cancelled = member == nil, false
  if first then
    local leaving = make_room(subject, stamp and 0 or limit)
    if not leaving then
      return nil
    end
    member = { connections = 1, held = 0, stamp = stamp, flags = flags, info = info }
    appear(subject, user, member, leaving)
  else
    cancelled = member.connections == 0
    if cancelled then
      cancel_departure(subject, user)
    end
    if not entry then
      member.connections = member.connections + 1
    end
    member.flags = flags
    local changed = info ~= member.info and (not stamp or stamp > member.stamp)
    if changed then
      member.info, member.stamp = info, stamp or seq + 1
    elseif info == member.info then
      -- Said anew, it is as new as what was decided last.
      member.stamp = max(member.stamp, stamp or seq)
    end
    if changed then
      publish_delta("i", member.stamp, now, subject, user, info)
    end
    write_member(subject, user, member)
  end
  stamp = stamp or member.stamp
  call("HSET", entries, subscription,
    format("%s %.0f %.0f %d ", grace, stamp, flags, #subject) .. subject .. user)
  return first, stamp, cancelled
end

local function leave_member(subject, user, member, grace)
  member.connections, member.left = member.connections - 1, now
  if grace > 0 then
    member.held = max(member.held, clock + grace)
  end
  if member.connections == 0 and is_uncertain() then
    member.held = max(member.held, recover, clock + 1)
  end
  if member.connections == 0 and member.held <= clock then
    remove(subject, user, member)
    return
  end
  if member.connections == 0 then
    schedule_departure(subject, user, member.held)
  end
  write_member(subject, user, member)
end

-- Ends a subscription of a node; an unknown one changes nothing.
local function leave(node, subscription, grace)
  local entry = call("HGET", B .. ":e:" .. node, subscription)
  if not entry then
    return
  end
  local length, rest = match(entry, "^%d+ %d+ %d+ (%d+) (.*)$")
  local subject, user = rest:sub(1, tonumber(length)), rest:sub(tonumber(length) + 1)
  local member = read_member(subject, user)
  if member then
    leave_member(subject, user, member, grace)
  end
  call("HDEL", B .. ":e:" .. node, subscription)
end
