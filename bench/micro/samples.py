"""What the measured functions are given: the messages that the load generator sends too."""

from __future__ import annotations

import hashlib
from typing import Final

from herenow.protocol.signing import canonical_string, channel_string, hex_digest, parse_query

KEY: Final = "app-key"
SECRET: Final = "app-secret"
SOCKET_ID: Final = "123456789.987654321"
CHANNEL: Final = "presence-bench-0"
NOW: Final = 1_700_000_000.0

CHANNEL_DATA: Final = '{"user_id":"u1","user_info":{"name":"user 1"}}'
AUTH: Final = f"{KEY}:{hex_digest(SECRET, channel_string(SOCKET_ID, CHANNEL, CHANNEL_DATA))}"

_DATA: Final = rb'"{\"t\":\"@T0123456789abcdef01234567@\",\"p\":\"' + b"x" * 155 + rb'\"}"'
DATA: Final = _DATA
EVENT: Final = b'{"event":"ev","channel":"bench-0","data":' + _DATA + b"}"
CLIENT_EVENT: Final = b'{"event":"client-ev","channel":"private-bench-0","data":' + _DATA + b"}"
SUBSCRIBE: Final = (
    b'{"event":"pusher:subscribe","data":{"auth":"'
    + AUTH.encode()
    + rb'","channel_data":"{\"user_id\":\"u1\",\"user_info\":{\"name\":\"user 1\"}}",'
    + b'"channel":"'
    + CHANNEL.encode()
    + b'"}}'
)

PUBLISH_PATH: Final = "/apps/app-id/events"
PUBLISH_BODY: Final = b'{"name":"ev","channels":["bench-0"],"data":' + _DATA + b"}"


def publish_query(now: float, body: bytes = PUBLISH_BODY) -> str:
    """The query of a publish of *body*, signed at *now*."""
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    query = f"auth_key={KEY}&auth_timestamp={now:.0f}&auth_version=1.0&body_md5={md5}"
    string = canonical_string("POST", PUBLISH_PATH, parse_query(query))
    return f"{query}&auth_signature={hex_digest(SECRET, string)}"


PUBLISH_QUERY: Final = publish_query(NOW)
PUBLISH_REQUEST: Final = (
    f"POST {PUBLISH_PATH}?{PUBLISH_QUERY} HTTP/1.1\r\n"
    "Host: 127.0.0.1:6001\r\n"
    "Content-Type: application/json\r\n"
    f"Content-Length: {len(PUBLISH_BODY)}\r\n\r\n"
).encode() + PUBLISH_BODY


def secret_of(key: str) -> str | None:
    return SECRET if key == KEY else None


def masked(payload: bytes, key: bytes = b"\x12\x34\x56\x78") -> bytes:
    """*payload* as the text frame of a client."""
    length = len(payload)
    head = bytes([0x81, 0x80 | length]) if length < 126 else b"\x81\xfe" + length.to_bytes(2, "big")
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
