-- "roster", uncertain 0/1, then of each member: user, record as members.lua has it. To take a
-- record apart is left to the node: the engine has better things to do.

local function answer_roster(subject)
  local roster = answer("roster", is_uncertain() and 1 or 0)
  local members, last = call("HGETALL", B .. ":m:" .. subject), #roster
  for i = 1, #members do
    roster[last + i] = members[i]
  end
  return roster
end
