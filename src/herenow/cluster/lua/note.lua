-- Notes how an endpoint does.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint, then fields of B:w:s and their values
-- Answer: "noted"; "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
call("HSET", W .. "s:" .. ARGV[10], unpack(ARGV, 11))
return answer("noted")
