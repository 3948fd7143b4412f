-- The channels of this partition that have subscriptions or members on any node.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] what the names begin with
-- Answer: "channels", uncertain 0/1, then of each, by name: name, subscriptions, users

if fenced() then
  return answer("fenced")
end
local app, prefix = ARGV[10], ARGV[11]
local names, numbers = {}, {}
for column, key in ipairs({ ":c:", ":p:" }) do
  local fields = call("HGETALL", B .. key .. app)
  for i = 1, #fields, 2 do
    local name = fields[i]
    if name:sub(1, #prefix) == prefix then
      if not numbers[name] then
        names[#names + 1], numbers[name] = name, { 0, 0 }
      end
      numbers[name][column] = tonumber(fields[i + 1])
    end
  end
end
table.sort(names)
local channels = answer("channels", is_uncertain() and 1 or 0)
for _, name in ipairs(names) do
  local last = #channels
  channels[last + 1], channels[last + 2], channels[last + 3] = name, unpack(numbers[name])
end
return channels
