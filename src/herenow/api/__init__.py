"""The Pusher HTTP API."""
