-- What a transition changes besides its own records: sums, the feed, its history, the outbox.
--
-- B:out    stream, the outbox: k (a add, r remove, o occupied, v vacated), s subject (or name of
--          the channel), u user, i info, q seq, t since in µs of engine time, n number: one
--          more than of the entry before. Its reader is told on the channel `out`.
-- B:w:apps hash: app with endpoints of webhooks -> engine time when a reader said so last

local function add(key, field, by)
  local sum = call("HINCRBY", key, field, text(by))
  if sum <= 0 then
    call("HDEL", key, field)
  end
  return max(sum, 0)
end

-- d <epoch> <seq> <kind> <stamp> <since> <bytes of subject> <bytes of user>\n<subject><user><info>
local function publish_delta(kind, stamp, since, subject, user, info)
  seq, ticked = seq + 1, clock
  call(PUBLISH, P .. ":feed", format("d %.0f %.0f %s %.0f %.0f %d %d\n", epoch, seq, kind, stamp,
    since, #subject, #user) .. subject .. user .. info)
  record_history(kind, subject, user)
end

local function write_outbox(kind, subject, user, info, since)
  if KEEP ~= "0" then
    written = written + 1
    call("XADD", B .. ":out", "MAXLEN", "~", KEEP, "*", "k", kind, "s", subject, "u", user,
      "i", info, "q", text(seq), "t", text(since), "n", text(written))
    call(PUBLISH, P .. ":out", "")
  end
end

-- Readers say so every minute; where there is none any more the outbox is to be left alone.
local APPS_STAND = 600000000

-- Whether webhooks are to hear of it: whoever registered it said so by `flags`, or it was before
-- the app had any.
local function is_told(flags, name)
  if flags % 2 == 1 then
    return true
  end
  local said = call("HGET", B .. ":w:apps", match(name, "^[^/]*"))
  return said and now - tonumber(said) < APPS_STAND
end
