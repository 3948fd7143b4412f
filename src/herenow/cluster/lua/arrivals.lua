-- What came into the outbox of the partition, for its reader.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] first id that may be, "0-1" at first  [11] most
-- Answer: "arrivals", engine time, position of the last event or 0, number of the last entry that
-- was written, then of each entry: id, k, s, u, i, t, n as changes.lua has them; "elsewhere": the
-- node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
local arrivals = answer("arrivals", now, last_position(), written)
for _, entry in ipairs(call("XRANGE", B .. ":out", ARGV[10], "+", "COUNT", ARGV[11])) do
  local fields, last = {}, #arrivals
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  arrivals[last + 1] = entry[1]
  for i, name in ipairs({ "k", "s", "u", "i", "t", "n" }) do
    arrivals[last + 1 + i] = fields[name] or "0"
  end
end
return arrivals
