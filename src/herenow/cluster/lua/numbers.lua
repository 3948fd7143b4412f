-- How many subscriptions a channel "<app>/<channel>", or connections an "<app>", has: one number
-- per node, and their sum.
--
-- B:n:<node>    hash: name -> "<number> <flags>"; flags + 1: outbox, + 2: the sum decides whether
--               the channel is occupied
-- B:c:<app>     hash: channel -> sum
-- B:t:<app>     hash: connections: sum; channels: how many are occupied by their sums
-- B:told:<app>  hash: channel -> clock when its sum was announced last

local function change_occupancy(name, app, flags, occupied)
  add(B .. ":t:" .. app, "channels", occupied and 1 or -1)
  if not is_told(flags, app) then
    return
  end
  local vacancy = "v " .. name
  if occupied then
    -- Even if nobody was told of the vacancy: who compared meanwhile may have found it.
    call("ZREM", B .. ":due", vacancy)
    write_outbox("o", name, "", "", now)
  elseif is_uncertain() then
    call("ZADD", B .. ":due", text(max(recover, clock + 1)), vacancy)
  else
    write_outbox("v", name, "", "", now)
  end
end

local function read_sum(name)
  local app, channel = match(name, "^([^/]*)/(.*)$")
  if app then
    return tonumber(call("HGET", B .. ":c:" .. app, channel) or 0)
  end
  return tonumber(call("HGET", B .. ":t:" .. name, "connections") or 0)
end

local function read_number(node, name)
  local record = call("HGET", B .. ":n:" .. node, name)
  return record and tonumber(match(record, "^%d+")) or 0
end

-- A sum that was announced once is announced when it changes although nobody came or went: a node
-- died, or registers again.
local function correct_sum(name, sum)
  local app, channel = match(name, "^([^/]*)/(.*)$")
  if app and sum > 0 and call("HGET", B .. ":told:" .. app, channel) then
    call(PUBLISH, P .. ":b:" .. name, "n " .. text(sum))
  end
end

-- Says that a node has `number`, of which there were `before`; answers the sum.
local function change_number(node, name, number, before, flags)
  if number == 0 then
    call("HDEL", B .. ":n:" .. node, name)
  else
    call("HSET", B .. ":n:" .. node, name, text(number) .. " " .. text(flags))
  end
  if number == before then
    return read_sum(name)
  end
  local app, channel = match(name, "^([^/]*)/(.*)$")
  if not app then
    return add(B .. ":t:" .. name, "connections", number - before)
  end
  local sum = add(B .. ":c:" .. app, channel, number - before)
  if sum == 0 then
    call("HDEL", B .. ":told:" .. app, channel)
  end
  if flags >= 2 and (sum == 0 or sum == number - before) then
    change_occupancy(name, app, flags, sum > 0)
  end
  return sum
end
