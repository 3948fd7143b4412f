-- A lease that ends before its time.

local function end_lease(node)
  local lease = call("ZSCORE", B .. ":lease", node)
  if lease and tonumber(lease) > clock then
    call("ZADD", B .. ":lease", text(clock), node)
  end
end
