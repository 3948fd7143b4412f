-- Erases when a user was seen.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] user
-- Answer: "unseen"

if fenced() then
  return answer("fenced")
end
call("ZREM", B .. ":seen", ARGV[10] .. "/" .. ARGV[11])
return answer("unseen")
