-- How much waits for an endpoint, and how the endpoint does.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint
-- Answer: "depth", how many wait, how many are buried, when the oldest was made (0: there is
-- none), then the fields of B:w:s

if fenced() then
  return answer("fenced")
end
local endpoint, oldest = ARGV[10], nil
for _, key in ipairs({ "q:", "b:" }) do
  local first = call("ZRANGE", W .. key .. endpoint, 0, 0)[1]
  local event = first and read_event(endpoint, first)
  if event and (not oldest or event.made < oldest) then
    oldest = event.made
  end
end
return answer("depth", call("ZCARD", W .. "q:" .. endpoint), call("ZCARD", W .. "b:" .. endpoint),
  oldest or 0, unpack(call("HGETALL", W .. "s:" .. endpoint)))
