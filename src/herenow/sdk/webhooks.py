"""Webhooks that the server sends to the application (protocol reference §17)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Final, NotRequired, Protocol, TypedDict

import msgspec

from herenow.protocol.messages import InvalidJSON, decode_json
from herenow.protocol.signing import hex_digest
from herenow.sdk import checks
from herenow.sdk.errors import InvalidArgument, InvalidWebhook

MAX_AGE_SECONDS: Final = 300.0


class WebhookEvent(TypedDict):
    """One event (§17.2).

    ``name`` is ``channel_occupied``, ``channel_vacated``, ``member_added``, ``member_removed``,
    ``client_event``, ``cache_miss``, ``subscription_count``, or what a later server adds.
    """

    name: str
    channel: str
    user_id: NotRequired[str]
    event: NotRequired[str]
    data: NotRequired[str]
    socket_id: NotRequired[str]
    subscription_count: NotRequired[int]


class Webhook(TypedDict):
    """``{"time_ms":1760000000123,"events":[…]}``: when it was made, and what happened, in order."""

    time_ms: int
    events: list[WebhookEvent]


class Headers(Protocol):
    """The headers of a request as every framework has them."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def check_keys(pairs: object) -> dict[str, str]:
    """Further keys and their secrets."""
    argument = "other_keys"
    if not isinstance(pairs, Mapping):
        raise InvalidArgument(argument, f"expected a mapping, got {type(pairs).__name__}")
    return {
        checks.text(argument, key): checks.secret(argument, secret) for key, secret in pairs.items()
    }


def read_webhook(
    secrets: Mapping[str, str],
    headers: Headers,
    body: object,
    now: float,
    max_age_seconds: float | None,
) -> Webhook:
    """Verify and read a webhook; *secrets* are those of the keys that it may be signed with."""
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidArgument(
            "body", f"expected the bytes of the request as received, got {type(body).__name__}"
        )
    raw = bytes(body)
    _verify(secrets, headers, raw)
    try:
        webhook = msgspec.convert(decode_json(raw), Webhook)
    except (InvalidJSON, msgspec.ValidationError) as error:
        raise InvalidWebhook(f"expected time_ms and events: {error}") from None
    age_ms = int(now * 1000) - webhook["time_ms"]
    if max_age_seconds is not None and abs(age_ms) > max_age_seconds * 1000:
        raise InvalidWebhook(
            f"{age_ms // 1000} s old by this machine's clock, allowed are {max_age_seconds:g} s"
        )
    return webhook


def _verify(secrets: Mapping[str, str], headers: Headers, body: bytes) -> None:
    key, signature = _header(headers, "X-Pusher-Key"), _header(headers, "X-Pusher-Signature")
    secret = secrets.get(key)
    if secret is None:
        raise InvalidWebhook(
            f"signed with the key {checks.shown(key)}, which is not this application's"
        )
    expected = hex_digest(secret, body)
    if not hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), expected.encode()):
        raise InvalidWebhook("the signature is not that of this body")


def _header(headers: Headers, name: str) -> str:
    for given, value in headers.items():
        if given.lower() == name.lower():
            return value
    raise InvalidWebhook(f"the header {name} is missing")
