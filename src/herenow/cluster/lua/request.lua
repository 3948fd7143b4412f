-- What another node wants of the reader of the partition, and how he answers.
--
-- B:w:ask:<request>, B:w:ans:<request>  what is asked and answered; gone after a minute
--
-- ARGV[7] node  [8] token  [9] epoch  [10] request  [11] "ask", "take", "answer" or "look"
-- [12] what is asked or answered
-- Answer: "request", what was asked if it is taken, what was answered if it is looked at, or ""

if fenced() then
  return answer("fenced")
end
local asked, answered = W .. "ask:" .. ARGV[10], W .. "ans:" .. ARGV[10]
local found = ""
if ARGV[11] == "ask" then
  call("SET", asked, ARGV[12], "PX", "60000")
  tell_reader("d " .. ARGV[10])
elseif ARGV[11] == "take" then
  found = call("GET", asked) or ""
  call("DEL", asked)
elseif ARGV[11] == "answer" then
  call("SET", answered, ARGV[12], "PX", "60000")
else
  found = call("GET", answered) or ""
end
return answer("request", found)
