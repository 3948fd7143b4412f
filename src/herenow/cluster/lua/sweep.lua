-- What is due, whoever caused it: departures, and the entries of nodes whose lease has ended.

local BATCH = 500

-- An owner that registers again protects his old node, not for ever. True while he may be about
-- to hand in who is missing.
local function forget_heirs()
  local heirs, waiting = call("HGETALL", B .. ":heir"), false
  local young = clock < born + 10 * LEASE
  for i = 1, #heirs, 2 do
    local lease = tonumber(call("ZSCORE", B .. ":lease", heirs[i + 1]) or 0)
    local gone = not young and not call("ZSCORE", B .. ":lease", heirs[i])
    if lease <= clock or gone then
      call("HDEL", B .. ":heir", heirs[i])
    else
      waiting = true
    end
  end
  return waiting and young
end

local function complete_vacancy(name)
  call("ZREM", B .. ":due", "v " .. name)
  if read_sum(name) == 0 then
    write_outbox("v", name, "", "", now)
  end
end

-- True if more is due.
local function complete_departures()
  local due = call("ZRANGEBYSCORE", B .. ":due", "-inf", text(clock), "LIMIT", 0, BATCH)
  for _, item in ipairs(due) do
    local length, rest = match(item, "^m (%d+) (.*)$")
    if length then
      complete_departure(rest:sub(1, tonumber(length)), rest:sub(tonumber(length) + 1))
    else
      complete_vacancy(item:sub(3))
    end
  end
  return #due == BATCH
end

local function reap_subscriptions(node, most)
  local subscriptions = call("HKEYS", B .. ":e:" .. node)
  for i, subscription in ipairs(subscriptions) do
    subscriptions[i] = tonumber(subscription)
  end
  table.sort(subscriptions)
  for i = 1, math.min(most, #subscriptions) do
    local subscription = text(subscriptions[i])
    local entry = call("HGET", B .. ":e:" .. node, subscription)
    leave(node, subscription, tonumber(match(entry, "^%d+")))
  end
  return most - #subscriptions
end

local function reap_numbers(node, most)
  local numbers = call("HGETALL", B .. ":n:" .. node)
  for i = 1, math.min(2 * most, #numbers), 2 do
    local number, flags = match(numbers[i + 1], "^(%d+) (%d+)$")
    correct_sum(numbers[i], change_number(node, numbers[i], 0, tonumber(number), tonumber(flags)))
  end
  return most - #numbers / 2
end

-- In batches, the lease record last. True if there is more to reap.
local function reap()
  local ended, most = call("ZRANGEBYSCORE", B .. ":lease", "-inf", text(clock)), BATCH
  table.sort(ended)
  for _, node in ipairs(ended) do
    if not call("HGET", B .. ":heir", node) then
      call("HDEL", B .. ":token", node)
      most = reap_subscriptions(node, most)
      most = most < 0 and most or reap_numbers(node, most)
      if most < 0 then
        return true
      end
      call("ZREM", B .. ":lease", node)
    end
  end
  return false
end

-- True if there are more.
local function forget_seen()
  local old = call("ZRANGEBYSCORE", B .. ":seen", "-inf", text(now - keep), "LIMIT", 0, BATCH)
  for _, name in ipairs(old) do
    call("ZREM", B .. ":seen", name)
  end
  return #old == BATCH
end

-- True if it is to be called again soon.
local function sweep()
  forget_unasked(BATCH)
  local more = forget_seen()
  if forget_heirs() then
    return more
  end
  more = complete_departures() or more
  return reap() or more
end
