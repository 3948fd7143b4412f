-- Forgets events that an endpoint has.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] endpoint, then positions
-- Answer: "delivered"; "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
for i = 11, #ARGV do
  local event = read_event(ARGV[10], ARGV[i])
  if event then
    forget_event(ARGV[10], ARGV[i], event)
    if event.again then
      pass_first(ARGV[10], ARGV[i], event)
    end
  end
end
return answer("delivered")
