-- Every script begins with this.
--
-- KEYS[1]  B: base key of the partition. All its keys are B .. ":…", so they share its slot.
-- ARGV[1]  engine time in µs; "": the engine's TIME
-- ARGV[2]  replication history; "": master_replid of the engine
-- ARGV[3]  lease in µs
-- ARGV[4]  P: what the partition's pub/sub channels begin with
-- ARGV[5]  PUBLISH or SPUBLISH
-- ARGV[6]  entries that the outbox keeps, roughly; "0": none is written
-- ARGV[7…] the script's own; those of a session are node, token, epoch
--
-- Every answer is an array: status, epoch, seq, … A fenced script answers "fenced" and changes
-- nothing. Numbers are whole µs or counts below 2^53; they are written with %.0f, never tostring.

local B, P, PUBLISH, KEEP, LEASE = KEYS[1], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[3])
local call, format, match, floor, max = redis.call, string.format, string.match, math.floor, math.max

local function text(number)
  return format("%.0f", number)
end

local function read_time()
  if ARGV[1] ~= "" then
    return tonumber(ARGV[1])
  end
  local time = call("TIME")
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
