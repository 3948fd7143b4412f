"""The signatures of protocol reference §8 and §16, made with the standard library alone."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable

Parameters = list[tuple[str, str]]


def compact(value: object) -> str:
    """*value* as JSON without whitespace, non-ASCII characters left as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def hmac_hex(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def channel_string(socket_id: str, channel: str, channel_data: str | None = None) -> str:
    if channel_data is None:
        return f"{socket_id}:{channel}"
    return f"{socket_id}:{channel}:{channel_data}"


def user_string(socket_id: str, user_data: str) -> str:
    return f"{socket_id}::user::{user_data}"


def request_string(method: str, path: str, parameters: Iterable[tuple[str, str]]) -> str:
    """What an API request's ``auth_signature`` signs; values are given unescaped."""
    lowered = [(name.lower(), value) for name, value in parameters]
    signed = sorted(
        (pair for pair in lowered if pair[0] != "auth_signature"), key=lambda pair: pair[0]
    )
    return "\n".join([method, path, "&".join(f"{name}={value}" for name, value in signed)])


def body_md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def shared_secret(channel: str, master_key: bytes) -> bytes:
    """The key of an encrypted channel, §14."""
    return hashlib.sha256(channel.encode() + master_key).digest()
