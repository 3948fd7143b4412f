"""Who decides who is here, and who is told."""
