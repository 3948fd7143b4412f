-- Says how many subscriptions channels have on this node, or connections applications.
--
-- ARGV[7] node  [8] token  [9] epoch, then n × (name, number, flags)
-- Answer: "counted"

if fenced() then
  return answer("fenced")
end
for i = 10, #ARGV, 3 do
  local name, number, flags = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  change_number(ARGV[7], name, number, read_number(ARGV[7], name), flags)
end
save()
return answer("counted")
