"""What a request carries."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from herenow.apps.base import Key
from herenow.webhooks import bodies
from herenow.webhooks.events import CacheMiss, ClientEvent, SubscriptionCount, Volatile
from herenow.webhooks.journal import Entry, Fact

SECRET = "0f1e2d3c4b5a69788796"
KEY = Key("a1b2c3d4e5f60718293a", SECRET)


def entry(fact: Fact, *, holds: bool, info: bytes = b"") -> Entry:
    return Entry(1, "e", fact, holds, info, "id-1", 7, 0.0)


OCCUPANCY = Fact("corders.live")
MEMBERSHIP = Fact("cpresence-room.7", "u-42")
TYPING = '{"draft":true,"len":3}'

WRITTEN = [
    (
        entry(OCCUPANCY, holds=True),
        1760000000123,
        b'{"time_ms":1760000000123,"events":[{"name":"channel_occupied","channel":"orders.live"}]}',
        "41aa1a0c2fc4f04f593302023a5f01ad38b800b43656eac665581d0a0563df45",
    ),
    (
        entry(OCCUPANCY, holds=False),
        1760000000124,
        b'{"time_ms":1760000000124,"events":[{"name":"channel_vacated","channel":"orders.live"}]}',
        "2a1fa1a69d4402f8ea9f1ba1d07fe174ff50dad64fa09ad60c61a1e03e487deb",
    ),
    (
        entry(MEMBERSHIP, holds=True),
        1760000000125,
        b'{"time_ms":1760000000125,"events":[{"name":"member_added",'
        b'"channel":"presence-room.7","user_id":"u-42"}]}',
        "379b642ed5c6fca541e17ccc598fcfa62cecb70bbb753e70b6492ea758a1ea34",
    ),
    (
        entry(MEMBERSHIP, holds=False),
        1760000000126,
        b'{"time_ms":1760000000126,"events":[{"name":"member_removed",'
        b'"channel":"presence-room.7","user_id":"u-42"}]}',
        "7b81f6f686200cc0b0d4d601ead97941240747b99e1f84a9c58446f9ec7bc7fa",
    ),
]

WRITTEN_VOLATILE: list[tuple[Volatile, int, str]] = [
    (
        ClientEvent("1", "presence-room.7", "client-typing", TYPING, "81234.5678901", "u-42"),
        1760000000127,
        "80b8d46d58234fef9e09ce237a230b5a92698b24d9068b89db11a7d013d9bb2b",
    ),
    (
        ClientEvent("1", "private-orders.7", "client-typing", TYPING, "81234.5678901", None),
        1760000000128,
        "5399abc67b106fb6de17f788c78465e8ccbcea3215a5f02ce9670c47a9e4059e",
    ),
    (
        CacheMiss("1", "cache-weather"),
        1760000000129,
        "10a574f61c288bdb294186a957c870e123dbb476b29566fde48493f6f579474b",
    ),
    (
        SubscriptionCount("1", "orders.live", 3),
        1760000000130,
        "762fb8a8b465b249820a792645241211c634d6ebaa64cc5d9dc6c80ab9f956ba",
    ),
]


@pytest.mark.parametrize(("written", "time_ms", "body", "signature"), WRITTEN)
def test_transitions_are_written_and_signed_as_published(
    written: Entry, time_ms: int, body: bytes, signature: str
) -> None:
    """The samples of the protocol reference §17.3, to the byte."""
    assert bodies.envelope(time_ms, [bodies.event_of(written)]) == body
    headers = dict(bodies.headers(KEY, time_ms, ["id-1"], [7], 1, body))
    assert headers["X-Pusher-Signature"] == signature
    assert headers["X-Pusher-Key"] == KEY.key


@pytest.mark.parametrize(("event", "time_ms", "signature"), WRITTEN_VOLATILE)
def test_other_events_are_written_and_signed_as_published(
    event: Volatile, time_ms: int, signature: str
) -> None:
    """The samples of the protocol reference §17.3, to the byte."""
    body = bodies.envelope(time_ms, [bodies.event_of_volatile(event)])
    headers = dict(bodies.headers(KEY, time_ms, ["id-1"], [0], 1, body))
    assert headers["X-Pusher-Signature"] == signature


def test_a_batch_is_signed_as_published() -> None:
    """Several events in one body are signed as one."""
    events = [
        bodies.event_of(entry(OCCUPANCY, holds=True)),
        bodies.event_of(entry(MEMBERSHIP, holds=True)),
    ]
    body = bodies.envelope(1760000000999, events)
    headers = dict(bodies.headers(KEY, 1760000000999, ["a", "b"], [1, 2], 1, body))
    assert (
        headers["X-Pusher-Signature"]
        == "a95006b1bbb48d6347123bf5d7ef9f4f39cb6ff14f978bdd72539af179cdec11"
    )
    assert headers["X-Herenow-Event-Ids"] == "a,b"
    assert headers["X-Herenow-Sequences"] == "1,2"


def test_the_own_signature_covers_timestamp_ids_sequences_and_body() -> None:
    """Anybody can check it with the secret and the four parts joined by LF."""
    headers = dict(bodies.headers(KEY, 1760000000999, ["a", "b"], [1, 2], 3, b"{}"))
    expected = hmac.new(SECRET.encode(), b"1760000000\na,b\n1,2\n{}", hashlib.sha256).hexdigest()
    assert headers["X-Herenow-Timestamp"] == "1760000000"
    assert headers["X-Herenow-Attempt"] == "3"
    assert headers["X-Herenow-Signature"] == expected


def test_user_info_is_a_string_and_only_where_it_is_wanted() -> None:
    """An event is a map of strings for some SDKs, so JSON in it is text."""
    member = entry(MEMBERSHIP, holds=True, info='{"name":"Åsa"}'.encode())
    assert "user_info" not in bodies.event_of(member)
    assert bodies.event_of(member, user_info=True)["user_info"] == '{"name":"Åsa"}'


@pytest.mark.parametrize(("holds", "name"), [(True, "user_online"), (False, "user_offline")])
def test_a_user_s_event_names_the_user_s_own_channel(*, holds: bool, name: str) -> None:
    """Every event has a channel, since some SDKs insist."""
    event = bodies.event_of(entry(Fact("uu-42"), holds=holds))
    assert event == {"name": name, "channel": "#server-to-user-u-42", "user_id": "u-42"}
