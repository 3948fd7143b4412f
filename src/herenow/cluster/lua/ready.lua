-- Everything is registered again: the old node may be reaped.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] old node
-- Answer: "ready"

if fenced() then
  return answer("fenced")
end
call("HDEL", B .. ":heir", ARGV[10])
end_lease(ARGV[10])
save()
return answer("ready")
