-- Tidies up where nobody reads: an endpoint that no node has known for long is forgotten, and what
-- came into the outbox before that. Where somebody reads, he does it.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] µs that are long  [11] most entries, 0: only look
-- Answer: "remains", 1 if the partition was ever read or something is in its outbox, 1 if there is
-- more to forget at once

if fenced() then
  return answer("fenced")
end
local out, oldest, most = B .. ":out", now - tonumber(ARGV[10]), tonumber(ARGV[11])

local function forget_oldest_endpoint()
  local unknown = call("ZRANGEBYSCORE", W .. "ends", "-inf", text(oldest), "LIMIT", 0, 1)[1]
  if unknown then
    forget_endpoint(unknown)
  end
  if call("EXISTS", W .. "ends") == 0 then
    call("UNLINK", W .. "apps", B .. ":turns")
  end
  return unknown
end

-- When it came about, in µs.
local function time_of(entry)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == "t" then
      return tonumber(entry[2][i + 1])
    end
  end
  return 0
end

-- True if there may be more.
local function forget_old_entries()
  local entries = call("XRANGE", out, "0-1", "+", "COUNT", most)
  for _, entry in ipairs(entries) do
    if time_of(entry) > oldest then
      return false
    end
    call("XDEL", out, entry[1])
  end
  if #entries < most then
    call("UNLINK", out)
  end
  return #entries == most
end

local more = false
if most > 0 and not reader_lives() then
  more = forget_oldest_endpoint()
  more = forget_old_entries() or more
end
local is_used = call("HEXISTS", B .. ":state", "reader") == 1 or call("EXISTS", out) == 1
return answer("remains", is_used and 1 or 0, more and 1 or 0)
