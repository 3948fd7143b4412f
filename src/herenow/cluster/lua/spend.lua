-- Takes events from an application's bucket, which holds as many as it gains in a second. More
-- than it ever holds empty it.
--
-- B:r:<app>  string: engine time at which the bucket is full again
--
-- ARGV[7] app  [8] events  [9] rate a second
-- Answer: "spent", 0, 0, µs to wait (0: taken). Asks for no session.

local key, rate = B .. ":r:" .. ARGV[7], tonumber(ARGV[9])
local events = math.min(tonumber(ARGV[8]), rate)
local time = read_time()
local full = math.min(tonumber(call("GET", key) or 0), time + 1000000)
full = max(full, time) + floor(events * 1000000 / rate)
local wait = full - time - 1000000
if wait > 0 then
  return { "spent", 0, 0, wait }
end
call("SET", key, text(full), "PX", text(max(1, math.ceil((full - time) / 1000))))
return { "spent", 0, 0, 0 }
