-- The node leaves: its lease ends now, and its entries are reaped with their graces.
--
-- ARGV[7] node  [8] token  [9] epoch
-- Answer: "bye"

if fenced() then
  return answer("fenced")
end
end_lease(ARGV[7])
save()
return answer("bye")
