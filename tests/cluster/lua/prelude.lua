-- The sandbox that a server gives to scripts, around calls into Python.
--
-- `invoke` answers kind, …: 0 one value, 1 a list, 2 a status; a list too long for the stack comes
-- as one table. So do arguments and answers of scripts.

local invoke = ...

local function convert(kind, ...)
  if kind == 0 then return (...) end
  if kind == 1 then return {...} end
  return {ok = (...)}
end

local function call(...)
  return convert(invoke(...))
end

local missing = {
  __index = function(_, name)
    error("script reads a global variable: " .. tostring(name), 2)
  end,
  __newindex = function(_, name)
    error("script sets a global variable: " .. tostring(name), 2)
  end,
}

local environment = {
  redis = {call = call}, string = string, table = table, math = math,
  assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
  select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
}
setmetatable(environment, missing)

local function compile(text, name)
  local chunk, problem = loadstring(text, name)
  if not chunk then error(problem, 0) end
  return setfenv(chunk, environment)
end

local function result(value)
  if type(value) ~= "table" then return 0, value end
  if value.err then return 3, value.err end
  if value.ok then return 2, value.ok end
  if #value > 200 then return 4, value end
  return 1, unpack(value)
end

local function run(chunk, keys, arguments)
  rawset(environment, "KEYS", keys)
  rawset(environment, "ARGV", arguments)
  return result(chunk())
end

local function run_small(chunk, number, ...)
  local keys, arguments = {}, {...}
  for i = 1, number do keys[i] = table.remove(arguments, 1) end
  return run(chunk, keys, arguments)
end

return {compile = compile, run = run, run_small = run_small}
