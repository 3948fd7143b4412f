"""One truth on many nodes: what a node does, whatever the engine; no socket, no clock."""
