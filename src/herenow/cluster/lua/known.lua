-- Says which endpoints there are, and which applications have any.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] number of apps, "" if none are said, then apps: these
-- and no others; then endpoints
-- Answer: "known", then of each endpoint 1 if it is new here;
-- "elsewhere": the node is not the reader

if fenced() then
  return answer("fenced")
end
if not is_reader() then
  return answer("elsewhere")
end
local last = 10 + (tonumber(ARGV[10]) or 0)
if ARGV[10] ~= "" then
  call("DEL", W .. "apps")
end
for i = 11, last do
  call("HSET", W .. "apps", ARGV[i], text(now))
end
local known = answer("known")
for i = last + 1, #ARGV do
  known[#known + 1] = call("ZADD", W .. "ends", text(now), ARGV[i])
end
return known
