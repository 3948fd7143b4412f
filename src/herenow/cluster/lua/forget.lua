-- Forgets an endpoint and all that it had, in batches.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint  [11] how much at once
-- Answer: "forgotten", 1 if there is more; "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
local endpoint, most = ARGV[10], ARGV[11]
for _, key in ipairs({ "q:", "b:" }) do
  local positions = call("ZRANGE", W .. key .. endpoint, 0, text(tonumber(most) - 1))
  for _, position in ipairs(positions) do
    local event = read_event(endpoint, position)
    if event then
      forget_event(endpoint, position, event)
    end
  end
  if call("ZCARD", W .. key .. endpoint) > 0 then
    return answer("forgotten", 1)
  end
end
for _, key in ipairs({ "told:", "lane:", "f:", "n:", "r:", "x:", "s:" }) do
  call("UNLINK", W .. key .. endpoint)
end
call("ZREM", W .. "ends", endpoint)
return answer("forgotten", 0)
