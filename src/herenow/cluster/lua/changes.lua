-- What a transition changes besides its own records: sums, the feed, the outbox.
--
-- B:out    stream, the outbox: k (a add, r remove, o occupied, v vacated), s subject (or name of
--          the channel), u user, i info, q seq, t since in µs of engine time

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
end

local function write_outbox(kind, subject, user, info, since)
  if KEEP ~= "0" then
    call("XADD", B .. ":out", "MAXLEN", "~", KEEP, "*", "k", kind, "s", subject, "u", user,
      "i", info, "q", text(seq), "t", text(since))
  end
end
