-- Says how many subscriptions channels have on this node, or connections applications.
--
-- ARGV[7] node  [8] token  [9] epoch, then n × (name, number, flags); flags + 4: it is said again
-- under a new lease
-- Answer: "counted"

if fenced() then
  return answer("fenced")
end
for i = 10, #ARGV, 3 do
  local name, number, flags = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local before = read_number(ARGV[7], name)
  local sum = change_number(ARGV[7], name, number, before, flags % 4)
  if flags >= 4 and number ~= before then
    correct_sum(name, sum)
  end
end
save()
return answer("counted")
