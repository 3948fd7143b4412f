"""What applications import to talk to a server of the protocol; ``herenow`` names all of it."""
