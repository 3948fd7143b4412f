"""Webhooks that the server sends to the application (protocol reference §17).

Beside what the protocol has, herenow sends headers of its own: an id and a sequence number for each
event, the attempt and a timestamp, with a signature over all but the attempt.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, NotRequired, Protocol, TypedDict, cast

import msgspec

from herenow.protocol.messages import InvalidJSON, decode_json
from herenow.protocol.signing import hex_digest
from herenow.sdk import checks
from herenow.sdk.errors import InvalidArgument, InvalidWebhook

MAX_AGE_SECONDS: Final = 300.0

IDS: Final = "X-Herenow-Event-Ids"
SEQUENCES: Final = "X-Herenow-Sequences"
ATTEMPT: Final = "X-Herenow-Attempt"
TIMESTAMP: Final = "X-Herenow-Timestamp"
SIGNATURE: Final = "X-Herenow-Signature"

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_NUMBER: Final = re.compile(r"[0-9]{1,16}")


class _SentEvent(TypedDict):
    """An event as it stands in the body."""

    name: str
    channel: str
    user_id: NotRequired[str]
    user_info: NotRequired[str]
    event: NotRequired[str]
    data: NotRequired[str]
    socket_id: NotRequired[str]
    subscription_count: NotRequired[int]


class WebhookEvent(_SentEvent):
    """One event (§17.2).

    ``name`` is ``channel_occupied``, ``channel_vacated``, ``member_added``, ``member_removed``,
    ``client_event``, ``cache_miss``, ``subscription_count``, ``user_online``, ``user_offline``, or
    what a later server adds. ``user_info`` is JSON as text, where the endpoint asks for it.

    From a herenow server: ``id`` is the same whenever the event is delivered, and no other event's.
    ``sequence`` counts the events of a channel, or of a user who comes online, one by one; it is 0
    for events that are not counted: ``client_event``, ``cache_miss``, ``subscription_count``.
    """

    id: NotRequired[str]
    sequence: NotRequired[int]


class Webhook(TypedDict):
    """``{"time_ms":1760000000123,"events":[…]}``: when it was made, and what happened, in order.

    ``attempt``, from a herenow server: 1, or how often this was tried by now.
    """

    time_ms: int
    events: list[WebhookEvent]
    attempt: NotRequired[int]


class Headers(Protocol):
    """The headers of a request as every framework has them."""

    def items(self) -> Iterable[tuple[str, str]]: ...


class Believing(NamedTuple):
    """Which webhooks are believed.

    ``secrets`` are those of the keys that may have signed. ``max_age_seconds``: None for any age.
    ``require_ids``: only those whose events have ids.
    """

    secrets: Mapping[str, str]
    max_age_seconds: float | None
    require_ids: bool


class _Body(TypedDict):
    time_ms: int
    events: list[_SentEvent]


class _Numbering(NamedTuple):
    """What herenow's headers say; one id and one sequence for each event."""

    ids: list[str]
    sequences: list[int]
    attempt: int
    timestamp: int


def check_keys(pairs: object) -> dict[str, str]:
    """Further keys and their secrets."""
    argument = "other_keys"
    if not isinstance(pairs, Mapping):
        raise InvalidArgument(argument, f"expected a mapping, got {type(pairs).__name__}")
    return {
        checks.text(argument, key): checks.secret(argument, secret) for key, secret in pairs.items()
    }


def read_webhook(believing: Believing, headers: Headers, body: object, now: float) -> Webhook:
    """Verify and read a webhook."""
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidArgument(
            "body", f"expected the bytes of the request as received, got {type(body).__name__}"
        )
    raw, given = bytes(body), {name.lower(): value for name, value in headers.items()}
    secret = _verify(believing.secrets, given, raw)
    numbered = _numbering(given, secret, raw, required=believing.require_ids)
    try:
        sent = msgspec.convert(decode_json(raw), _Body)
    except (InvalidJSON, msgspec.ValidationError) as error:
        raise InvalidWebhook(f"expected time_ms and events: {error}") from None
    _check_age(now, sent["time_ms"], believing.max_age_seconds)
    if numbered is None:
        return cast("Webhook", sent)
    _check_age(now, numbered.timestamp * 1000, believing.max_age_seconds)
    return _with_numbers(sent, numbered)


def _with_numbers(sent: _Body, numbered: _Numbering) -> Webhook:
    numbers = len(numbered.ids), len(numbered.sequences)
    if numbers != (len(sent["events"]),) * 2:
        raise InvalidWebhook(
            f"expected an id and a sequence for each of {len(sent['events'])} events,"
            f" got {numbers[0]} ids and {numbers[1]} sequences"
        )
    events: list[WebhookEvent] = [
        {**event, "id": id_, "sequence": sequence}
        for event, id_, sequence in zip(
            sent["events"], numbered.ids, numbered.sequences, strict=True
        )
    ]
    return {"time_ms": sent["time_ms"], "events": events, "attempt": numbered.attempt}


def _check_age(now: float, time_ms: int, max_age_seconds: float | None) -> None:
    age_ms = int(now * 1000) - time_ms
    if max_age_seconds is not None and abs(age_ms) > max_age_seconds * 1000:
        raise InvalidWebhook(
            f"{age_ms // 1000} s old by this machine's clock, allowed are {max_age_seconds:g} s"
        )


def _verify(secrets: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> str:
    """The secret of the key that signed *body*."""
    key, signature = _header(headers, "X-Pusher-Key"), _header(headers, "X-Pusher-Signature")
    secret = secrets.get(key)
    if secret is None:
        raise InvalidWebhook(
            f"signed with the key {checks.shown(key)}, which is not this application's"
        )
    if not _is_signature(signature, secret, body):
        raise InvalidWebhook("the signature is not that of this body")
    return secret


def _numbering(
    headers: Mapping[str, str], secret: str, body: bytes, *, required: bool
) -> _Numbering | None:
    """What herenow's headers say: of all that are signed, or of none of them if none is there."""
    if not required and not any(
        name.lower() in headers for name in (IDS, SEQUENCES, TIMESTAMP, SIGNATURE)
    ):
        return None
    ids, sequences, timestamp, signature = (
        _header(headers, name) for name in (IDS, SEQUENCES, TIMESTAMP, SIGNATURE)
    )
    signed = "\n".join((timestamp, ids, sequences, "")).encode("utf-8", "surrogatepass") + body
    if not _is_signature(signature, secret, signed):
        raise InvalidWebhook(f"{SIGNATURE} is not that of these headers and this body")
    return _Numbering(
        ids=[_matching(IDS, item, _ID) for item in _items(ids)],
        sequences=[int(_matching(SEQUENCES, item, _NUMBER)) for item in _items(sequences)],
        attempt=int(_matching(ATTEMPT, headers.get(ATTEMPT.lower(), "1"), _NUMBER)),
        timestamp=int(_matching(TIMESTAMP, timestamp, _NUMBER)),
    )


def _items(listed: str) -> list[str]:
    return [item.strip() for item in listed.split(",")] if listed else []


def _matching(name: str, value: str, pattern: re.Pattern[str]) -> str:
    if pattern.fullmatch(value) is None:
        raise InvalidWebhook(f"{name} has {checks.shown(value)}, expected {pattern.pattern}")
    return value


def _is_signature(signature: str, secret: str, signed: bytes) -> bool:
    expected = hex_digest(secret, signed)
    return hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), expected.encode())


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name.lower())
    if value is None:
        raise InvalidWebhook(f"the header {name} is missing")
    return value
