-- The transitions of subjects whose roster somebody compares, so that he is told the difference.
--
-- B:asked        zset: subject -> clock when a difference was last asked for
-- B:h:<subject>  zset: "<seq> <clock> <kind><user>" -> seq; kinds as on the feed, or s: recorded
--                from here on. Of the first entry only the seq counts: nothing after it is missing.

local HISTORY, HISTORIES, HOUR = 1000, 256, 3600000000

local function record_history(kind, subject, user)
  if recorded == 0 or not call("ZSCORE", B .. ":asked", subject) then
    return
  end
  local key = B .. ":h:" .. subject
  call("ZADD", key, text(seq), format("%.0f %.0f ", seq, clock) .. kind .. user)
  call("ZREMRANGEBYRANK", key, "0", text(-HISTORY - 2))
end

local function forget_history(subject)
  if recorded > 0 and call("ZREM", B .. ":asked", subject) == 1 then
    recorded = recorded - 1
    call("DEL", B .. ":h:" .. subject)
  end
end

local function begin_history(subject)
  if recorded >= HISTORIES then
    forget_history(call("ZRANGE", B .. ":asked", "0", "0")[1])
  end
  recorded = recorded + 1
  call("ZADD", B .. ":h:" .. subject, text(seq), format("%.0f %.0f s", seq, clock))
end

local function forget_unasked(most)
  if recorded > 0 then
    local unasked = call("ZRANGEBYSCORE", B .. ":asked", "-inf", text(clock - HOUR), "LIMIT", 0, most)
    for _, subject in ipairs(unasked) do
      forget_history(subject)
    end
  end
end
