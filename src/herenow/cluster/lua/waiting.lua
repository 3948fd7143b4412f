-- Events that wait for an endpoint, in order.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint  [11] position beyond which  [12] most
-- [13] lane, or "" for all
-- Answer: "waiting", then n × (position, 0, record); "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
local endpoint, after, most, lane = ARGV[10], "(" .. ARGV[11], ARGV[12], ARGV[13]
if lane == "" then
  return list_events(answer("waiting"), endpoint,
    call("ZRANGEBYSCORE", W .. "q:" .. endpoint, after, "+inf", "LIMIT", 0, most), 0)
end
local positions, page = {}, nil
repeat
  page = call("ZRANGEBYSCORE", W .. "l:" .. endpoint .. ":" .. lane, after, "+inf", "LIMIT", 0, most)
  for _, position in ipairs(page) do
    if #positions < tonumber(most) and call("ZSCORE", W .. "q:" .. endpoint, position) then
      positions[#positions + 1] = position
    end
    after = "(" .. position
  end
until #page < tonumber(most) or #positions == tonumber(most)
return list_events(answer("waiting"), endpoint, positions, 0)
