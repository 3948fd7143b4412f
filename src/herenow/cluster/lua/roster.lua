-- Who is in a subject, departing members too.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] subject
-- Answer: "roster", as rosters.lua has it

if fenced() then
  return answer("fenced")
end
return answer_roster(ARGV[10])
