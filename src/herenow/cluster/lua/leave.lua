-- Ends a subscription; an unknown one changes nothing.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] subscription  [11] grace in µs
-- Answer: "left"

if fenced() then
  return answer("fenced")
end
leave(ARGV[7], ARGV[10], tonumber(ARGV[11]))
save()
return answer("left")
