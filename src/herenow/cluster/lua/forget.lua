-- Forgets an endpoint and all that it had.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint
-- Answer: "forgotten"; "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
forget_endpoint(ARGV[10])
return answer("forgotten")
