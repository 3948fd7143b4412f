"""One node: it owns sockets, memory and time."""
