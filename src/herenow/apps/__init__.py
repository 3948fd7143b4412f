"""Who may connect: applications, their keys and their settings."""
