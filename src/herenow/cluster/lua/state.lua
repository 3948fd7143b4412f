-- What a partition knows of time, its epoch and its nodes.
--
-- B:state  hash: epoch, history it was begun under, born (clock at its begin), recover (clock
--          until which nobody is declared gone), seq (of the last delta), clock (ledger time),
--          wall (engine time when last read), ticked (clock when the feed last carried something),
--          recorded (how many subjects have a history), keep (µs for which users seen are kept),
--          written (number of the last entry of the outbox)
-- B:token  hash: node -> token of its current command connection
-- B:lease  zset: node -> clock at which its lease ends
-- B:heir   hash: old node -> node under which its owner registers again
-- B:due    zset: departures "m <bytes of subject> <subject><user>" and, in a young epoch,
--          vacancies "v <name>" -> clock at which they are completed

local now, epoch, seq, clock, born, recover, ticked, silent, recorded, keep, written

local function read_history()
  if ARGV[2] ~= "" then
    return ARGV[2]
  end
  return match(call("INFO", "replication"), "master_replid:([^\r\n]+)")
end

-- What a script changed is written back once, by this.
local function save()
  call("HSET", B .. ":state", "seq", text(seq), "clock", text(clock), "wall", text(now),
    "recover", text(recover), "ticked", text(ticked), "recorded", text(recorded),
    "written", text(written))
end

local function renew_leases()
  local leases = call("ZRANGE", B .. ":lease", 0, -1, "WITHSCORES")
  for i = 1, #leases, 2 do
    if tonumber(leases[i + 1]) < clock + LEASE then
      call("ZADD", B .. ":lease", text(clock + LEASE), leases[i])
    end
  end
end

-- No data, or another replication history: what was written last may be lost. So leases and
-- departures are extended; a departure's deadline also stands in the member and in the subject's
-- own schedule.
local function begin_epoch(history)
  local function put_off(departure, deadline)
    local length, rest = match(departure, "^m (%d+) (.*)$")
    if not length then
      return
    end
    local subject, user = rest:sub(1, tonumber(length)), rest:sub(tonumber(length) + 1)
    local record = call("HGET", B .. ":m:" .. subject, user)
    if not record then
      return
    end
    local connections, held, others = match(record, "^(%d+) (%d+) (.*)$")
    call("HSET", B .. ":m:" .. subject, user,
      connections .. " " .. text(max(tonumber(held), deadline)) .. " " .. others)
    call("ZADD", B .. ":g:" .. subject, text(deadline), user)
  end

  -- What a revision stood for may be lost, too.
  for _, subject in ipairs(call("ZRANGE", B .. ":asked", 0, -1)) do
    call("DEL", B .. ":h:" .. subject)
  end
  call("DEL", B .. ":asked")
  recorded = 0

  local lost, extended = epoch > 0, clock + 2 * LEASE
  -- Two copies of the same data that are both promoted, with clocks behind, differ in history.
  local mark = 0
  for i = 1, #history do
    mark = (31 * mark + history:byte(i)) % 1000003
  end
  epoch, seq = max(now, epoch + 1 + mark), max(now, seq + 1000000)
  written = max(now, written + 1000000)
  born, ticked = clock, 0
  recover = lost and extended or clock + floor(LEASE / 2)
  call("HSET", B .. ":state", "epoch", text(epoch), "history", history, "born", text(born))
  save()
  if not lost then
    return
  end
  renew_leases()
  local due = call("ZRANGE", B .. ":due", 0, -1, "WITHSCORES")
  for i = 1, #due, 2 do
    if tonumber(due[i + 1]) < extended then
      call("ZADD", B .. ":due", text(extended), due[i])
      put_off(due[i], extended)
    end
  end
end

-- Ledger time advances by the engine's; a step longer than half a lease is no time: the engine
-- or every node was away, or the engine's clock jumped.
local function read_state()
  local state = call("HMGET", B .. ":state", "epoch", "history", "born", "recover", "seq", "clock",
    "wall", "ticked", "recorded", "keep", "written")
  now = read_time()
  epoch, seq = tonumber(state[1] or 0), tonumber(state[5] or 0)
  born, recover = tonumber(state[3] or 0), tonumber(state[4] or 0)
  clock, ticked = tonumber(state[6] or now), tonumber(state[8] or 0)
  recorded, keep = tonumber(state[9] or 0), tonumber(state[10] or 0)
  written = tonumber(state[11] or 0)
  local step = now - tonumber(state[7] or now)
  silent = step > LEASE / 2
  if step > 0 and not silent then
    clock = clock + step
  end
  local history = read_history()
  if epoch == 0 or state[2] ~= history then
    begin_epoch(history)
  end
end

-- Silence renews all leases at once, so that a script that only reads need not write.
local function end_silence()
  if silent then
    renew_leases()
    save()
  end
end

-- Reads the state; true if the session is not the node's current one.
local function fenced()
  read_state()
  if tonumber(ARGV[9]) ~= epoch then
    return true
  end
  if call("HGET", B .. ":token", ARGV[7]) ~= ARGV[8] then
    return true
  end
  end_silence()
  return false
end

local function answer(status, ...)
  return { status, epoch, seq, ... }
end

-- Somebody may not have registered his connections yet.
local function is_uncertain()
  if clock < recover then
    return true
  end
  return clock < born + 10 * LEASE and call("HLEN", B .. ":heir") > 0
end
