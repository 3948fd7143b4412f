-- What an endpoint was told, some of it, and whether it holds now.
--
-- ARGV[7] node  [8] token  [9] epoch  [10] app  [11] endpoint  [12] cursor, "0" at first
-- [13] how much, roughly
-- Answer: "told", uncertain 0/1, cursor ("0": that was all), then of each fact: lane, "" or "m" and
-- the member, 1 if it holds, what B:w:told has of it

if fenced() then
  return answer("fenced")
end
local app = ARGV[10]

local function holds(lane, member)
  local kind, name = lane:sub(1, 1), lane:sub(2)
  if kind == "u" then
    return call("HEXISTS", B .. ":u:" .. app, name)
  elseif member ~= "" then
    return call("HEXISTS", B .. ":m:" .. app .. "/p/" .. name, member:sub(2))
  end
  -- A vacancy that is due is told when the deployment is sure of it, as a departure is.
  if call("ZSCORE", B .. ":due", "v " .. app .. "/" .. name) then
    return 1
  end
  local column = name:sub(1, 9) == "presence-" and ":p:" or ":c:"
  return call("HEXISTS", B .. column .. app, name)
end

local found = call("HSCAN", W .. "told:" .. ARGV[11], ARGV[12], "COUNT", ARGV[13])
local told = answer("told", is_uncertain() and 1 or 0, found[1])
for i = 1, #found[2], 2 do
  local lane, member = split_fact(found[2][i])
  local last = #told
  told[last + 1], told[last + 2], told[last + 3] = lane, member, holds(lane, member)
  told[last + 4] = found[2][i + 1]
end
return told
