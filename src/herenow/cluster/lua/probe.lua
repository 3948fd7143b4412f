-- Does once, on keys of its own, whatever the scripts do. A script that may do one thing and not
-- the next would leave half of its work behind, so that is found out before anything depends on it.
--
-- Answer: "probed"

local key = B .. ":probe"
call("DEL", key)
call("HSET", key, "a", "1")
call("HGET", key, "a")
call("HMGET", key, "a")
call("HINCRBY", key, "a", "1")
call("HLEN", key)
call("HKEYS", key)
call("HGETALL", key)
call("HDEL", key, "a")
call("ZADD", key, "1", "a")
call("ZSCORE", key, "a")
call("ZCARD", key)
call("ZRANGE", key, 0, -1)
call("ZRANGEBYSCORE", key, "-inf", "1")
call("ZREM", key, "a")
call("ZREMRANGEBYSCORE", key, "-inf", "1")
call("SET", key, "a", "PX", "60000")
call("GET", key)
call("PTTL", key)
call("DEL", key)
call("HSET", key, "a", "1")
call("PEXPIRE", key, "60000")
call("DEL", key)
call("XADD", key, "MAXLEN", "~", "1", "*", "a", "1")
call("DEL", key)
call("TIME")
call("INFO", "replication")
call(PUBLISH, P .. ":probe", "")
return { "probed", 0, 0 }
