"""What outlives the process: a database, and what is sealed in it."""
