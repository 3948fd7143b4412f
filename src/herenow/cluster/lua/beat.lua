-- Renews the node's lease, completes what is due, and says on the feed that it is alive.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] seq since which terminations are wanted, or ""
-- [11] µs for which users seen are kept, 0: not at all
-- Answer: "beat", 1 to be called again soon or 0, then of each termination: subject, seq

if fenced() then
  return answer("fenced")
end
call("ZADD", B .. ":lease", text(clock + LEASE), ARGV[7])
if tonumber(ARGV[11]) ~= keep then
  keep = tonumber(ARGV[11])
  call("HSET", B .. ":state", "keep", text(keep))
end
local more = sweep()
if silent or clock - ticked >= floor(LEASE * 4 / 15) then
  ticked = clock
  call(PUBLISH, P .. ":feed", format("t %.0f %.0f", epoch, seq))
end
save()
local beat = answer("beat", more and 1 or 0)
if ARGV[10] ~= "" then
  call("ZREMRANGEBYSCORE", B .. ":ends", "-inf", text(clock - 10 * LEASE))
  for _, ending in ipairs(call("ZRANGE", B .. ":ends", 0, -1)) do
    local ended, subject = match(ending, "^(%d+) (.*)$")
    if tonumber(ended) > tonumber(ARGV[10]) then
      beat[#beat + 1], beat[#beat + 2] = subject, tonumber(ended)
    end
  end
end
return beat
