-- Tells all nodes something, on the control channel.
--
-- ARGV[7] message
-- Answer: "told", 0, 0. Asks for no session.

call(PUBLISH, P .. ":control", ARGV[7])
return { "told", 0, 0 }
