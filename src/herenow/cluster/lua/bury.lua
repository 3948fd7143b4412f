-- Lets events be: they are not delivered unless somebody asks for it.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint, then positions
-- Answer: "buried"; "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
for i = 11, #ARGV do
  if call("ZREM", W .. "q:" .. ARGV[10], ARGV[i]) == 1 then
    call("ZADD", W .. "b:" .. ARGV[10], ARGV[i], ARGV[i])
  end
end
return answer("buried")
