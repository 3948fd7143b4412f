"""What a request carries: events as JSON, and headers that prove where they come from.

Bodies are those of the protocol reference §17.1 and §17.2 to the byte; what is ours stands in
headers: ids and sequences (one item per event, the same in every delivery), the attempt, and a
signature over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from herenow.apps.base import Key
from herenow.protocol.messages import encode_json
from herenow.protocol.signing import hex_digest
from herenow.webhooks.events import (
    VOLATILE_NAMES,
    CacheMiss,
    ClientEvent,
    SubscriptionCount,
    Volatile,
)
from herenow.webhooks.facts import CHANNEL, event_names
from herenow.webhooks.journal import Entry

USER_CHANNEL_PREFIX: Final = "#server-to-user-"


def name_of(event: Volatile) -> str:
    """What *event* is called in a body and in the settings."""
    return VOLATILE_NAMES[type(event)]


def event_of(entry: Entry, *, user_info: bool = False) -> dict[str, Any]:
    """``{"name":…,"channel":…}`` of *entry*, and ``user_id`` where it is about a user.

    With *user_info*, what is known of a member is added as a string of JSON, since .NET reads an
    event as a map of strings.
    """
    fact = entry.fact
    added, removed = event_names(fact)
    event: dict[str, Any] = {"name": added if entry.holds else removed}
    name = fact.lane[1:]
    if not fact.lane.startswith(CHANNEL):
        event["channel"] = USER_CHANNEL_PREFIX + name
        event["user_id"] = name
        return event
    event["channel"] = name
    if fact.member is not None:
        event["user_id"] = fact.member
        if user_info and entry.info:
            event["user_info"] = entry.info.decode("utf-8", "replace")
    return event


def event_of_volatile(event: Volatile) -> dict[str, Any]:
    """*event* as it stands in a body."""
    written: dict[str, Any] = {"name": name_of(event), "channel": event.channel}
    match event:
        case ClientEvent():
            written["event"] = event.event
            written["data"] = event.data
            written["socket_id"] = event.socket_id
            if event.user_id is not None:
                written["user_id"] = event.user_id
        case SubscriptionCount():
            written["subscription_count"] = event.subscription_count
        case CacheMiss():
            pass
    return written


def envelope(time_ms: int, events: Sequence[dict[str, Any]]) -> bytes:
    """``{"time_ms":…,"events":[…]}``."""
    return encode_json({"time_ms": time_ms, "events": events})


def own_signature(secret: str, timestamp: str, ids: str, sequences: str, body: bytes) -> str:
    """``X-Herenow-Signature``: what the lists and the timestamp are held to, with the body."""
    return hex_digest(secret, "\n".join((timestamp, ids, sequences, "")).encode() + body)


def headers(
    key: Key, time_ms: int, ids: Sequence[str], sequences: Sequence[int], attempt: int, body: bytes
) -> list[tuple[str, str]]:
    """The headers of one request, written as PHP looks them up."""
    timestamp, listed = str(time_ms // 1000), ",".join(ids)
    counted = ",".join(map(str, sequences))
    return [
        ("Content-Type", "application/json"),
        ("X-Pusher-Key", key.key),
        ("X-Pusher-Signature", hex_digest(key.secret, body)),
        ("X-Herenow-Event-Ids", listed),
        ("X-Herenow-Sequences", counted),
        ("X-Herenow-Attempt", str(attempt)),
        ("X-Herenow-Timestamp", timestamp),
        ("X-Herenow-Signature", own_signature(key.secret, timestamp, listed, counted, body)),
    ]
