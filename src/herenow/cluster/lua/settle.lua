-- Deals with what came into the outbox: each once, whatever is sent again.
--
-- ARGV[7] node  [8] token  [9] epoch
-- [10] n, then n ids of entries that nobody is told of
-- then m × (id of the entry or "", k, and k × (endpoint, lane, "" or "m" and the member, holds 0/1,
-- silent 0/1, info))
-- Answer: "settled", how many entries were gone already, position of the last event before this and
-- after it, then the endpoints that have new events; "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
local before = last_position()
local last, missing, touched, endpoints = 10 + tonumber(ARGV[10]), 0, {}, {}
for i = 11, last do
  missing = missing + 1 - call("XDEL", B .. ":out", ARGV[i])
end
while last < #ARGV do
  local id, changes = ARGV[last + 1], tonumber(ARGV[last + 2])
  local is_new = id == "" or call("XDEL", B .. ":out", id) == 1
  missing = missing + (is_new and 0 or 1)
  last = last + 2
  for _ = 1, changes do
    local endpoint = ARGV[last + 1]
    if is_new and settle(endpoint, ARGV[last + 2], ARGV[last + 3], ARGV[last + 4] == "1",
      ARGV[last + 5] == "1", ARGV[last + 6]) and not touched[endpoint] then
      touched[endpoint] = true
      endpoints[#endpoints + 1] = endpoint
    end
    last = last + 6
  end
end
return answer("settled", missing, before, last_position(), unpack(endpoints))
