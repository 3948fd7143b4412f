"""The Pusher Channels protocol: bytes and values in, bytes and values out."""
