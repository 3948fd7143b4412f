-- Says how many connections an application has on this node, if with them it has no more than
-- the limit on all nodes; else the number stays as it was.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] number  [12] limit, 0 none
-- Answer: "admitted", 1 or 0, sum of all nodes that are there

if fenced() then
  return answer("fenced")
end
local node, app, number, limit = ARGV[7], ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[12])

-- Connections of nodes that are gone, or count under a new id already.
local function count_gone()
  local gone, sum = call("HKEYS", B .. ":heir"), 0
  for _, ended in ipairs(call("ZRANGEBYSCORE", B .. ":lease", "-inf", text(clock))) do
    if not call("HGET", B .. ":heir", ended) then
      gone[#gone + 1] = ended
    end
  end
  for _, other in ipairs(gone) do
    if other ~= node then
      sum = sum + read_number(other, app)
    end
  end
  return sum
end

local before, sum, gone = read_number(node, app), read_sum(app), count_gone()
if limit > 0 and sum - before + number - gone > limit then
  return answer("admitted", 0, sum - gone)
end
sum = change_number(node, app, number, before, 0)
save()
return answer("admitted", 1, sum - gone)
