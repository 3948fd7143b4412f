"""What herenow's own headers say of a webhook, and who is believed."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest

from herenow import InvalidWebhook
from herenow.protocol.signing import hex_digest
from sdk.callers import KEY, SECRET, Caller
from sdk.test_webhooks import signed, webhook_of

EVENTS: Final = [
    {"name": "channel_occupied", "channel": "presence-room"},
    {
        "name": "member_added",
        "channel": "presence-room",
        "user_id": "emily",
        "user_info": '{"name":"Émilie"}',
    },
    {"name": "client_event", "channel": "private-a", "event": "client-x", "data": "1"},
]
IDS: Final = "a1-7,a1-8,b-2"
SEQUENCES: Final = "1760000000124,1760000000125,0"


def numbered(
    body: bytes,
    *,
    ids: str = IDS,
    sequences: str = SEQUENCES,
    seconds_ago: int = 0,
    key: str = KEY,
    secret: str = SECRET,
) -> dict[str, str]:
    """The headers as herenow sends them."""
    timestamp = str(int(time.time()) - seconds_ago)
    own = "\n".join((timestamp, ids, sequences, "")).encode() + body
    return signed(body, key, secret) | {
        "X-Herenow-Event-Ids": ids,
        "X-Herenow-Sequences": sequences,
        "X-Herenow-Attempt": "3",
        "X-Herenow-Timestamp": timestamp,
        "X-Herenow-Signature": hex_digest(secret, own),
    }


def test_each_event_has_its_id_and_its_sequence(call: Caller) -> None:
    body = webhook_of(0, *EVENTS)
    webhook = call("webhook", numbered(body), body, require_ids=True)
    assert webhook["attempt"] == 3
    assert webhook["events"] == [
        {**EVENTS[0], "id": "a1-7", "sequence": 1760000000124},
        {**EVENTS[1], "id": "a1-8", "sequence": 1760000000125},
        {**EVENTS[2], "id": "b-2", "sequence": 0},
    ]


def test_ids_come_from_the_headers_alone(call: Caller) -> None:
    """A member of the body with the name of what we add is nobody's id."""
    body = webhook_of(0, {"name": "cache_miss", "channel": "cache-a", "id": "x", "sequence": 9})
    assert call("webhook", signed(body), body)["events"] == [
        {"name": "cache_miss", "channel": "cache-a"}
    ]


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_own_headers_in_any_capitalisation(call: Caller, change: Any) -> None:
    body = webhook_of(0, *EVENTS)
    headers = {change(name): value for name, value in numbered(body).items()}
    assert call("webhook", headers, body)["events"][0]["id"] == "a1-7"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Herenow-Event-Ids", "a1-7,a1-8,b-3"),
        ("X-Herenow-Event-Ids", "a1-7, a1-8,b-2"),
        ("X-Herenow-Sequences", "1760000000124,1760000000125,1"),
        ("X-Herenow-Timestamp", "1760000000"),
        ("X-Herenow-Signature", "0" * 64),
        ("X-Herenow-Signature", "é"),
        ("X-Herenow-Signature", ""),
    ],
)
def test_a_changed_header_is_refused(call: Caller, name: str, value: str) -> None:
    body = webhook_of(0, *EVENTS)
    headers = numbered(body) | {name: value}
    with pytest.raises(InvalidWebhook, match="X-Herenow-Signature is not that of these headers"):
        call("webhook", headers, body)


def test_the_headers_of_another_body_are_refused(call: Caller) -> None:
    """Both signatures are right, each of something else."""
    body, other = webhook_of(0, *EVENTS), webhook_of(1, *EVENTS)
    with pytest.raises(InvalidWebhook, match="X-Herenow-Signature is not that of"):
        call("webhook", numbered(other) | signed(body), body)


def test_what_stands_on_the_border_of_two_headers_stays_where_it_is(call: Caller) -> None:
    body = webhook_of(0, EVENTS[0], EVENTS[1])
    headers = numbered(body, ids="a,b", sequences="1,2")
    moved = {"X-Herenow-Event-Ids": "a", "X-Herenow-Sequences": "b\n1,2"}
    with pytest.raises(InvalidWebhook):
        call("webhook", headers | moved, body)


@pytest.mark.parametrize(
    "missing",
    [
        "X-Herenow-Event-Ids",
        "X-Herenow-Sequences",
        "X-Herenow-Timestamp",
        "X-Herenow-Signature",
    ],
)
def test_some_of_the_headers_are_not_enough(call: Caller, missing: str) -> None:
    headers = numbered(body := webhook_of(0, *EVENTS))
    del headers[missing]
    with pytest.raises(InvalidWebhook, match=f"the header {missing} is missing"):
        call("webhook", headers, body)


def test_who_demands_ids_gets_no_webhook_without(call: Caller) -> None:
    """A recorded webhook cannot be sent again without what it would be recognised by."""
    body = webhook_of(0, *EVENTS)
    headers = {
        name: value for name, value in numbered(body).items() if not name.startswith("X-Herenow")
    }
    assert call("webhook", headers, body)["events"] == EVENTS
    with pytest.raises(InvalidWebhook, match="the header X-Herenow-Event-Ids is missing"):
        call("webhook", headers, body, require_ids=True)


@pytest.mark.parametrize("seconds_ago", [310, -310])
def test_an_old_timestamp_is_refused(call: Caller, seconds_ago: int) -> None:
    body = webhook_of(0, *EVENTS)
    headers = numbered(body, seconds_ago=seconds_ago)
    with pytest.raises(InvalidWebhook, match="allowed are 300 s"):
        call("webhook", headers, body)
    assert call("webhook", headers, body, max_age_seconds=None)


def test_a_foreign_key_is_refused_and_an_old_one_of_ours_believed(call: Caller) -> None:
    body = webhook_of(0, *EVENTS)
    headers = numbered(body, key="old-key", secret="old-secret")
    with pytest.raises(InvalidWebhook, match="not this application's"):
        call("webhook", headers, body)
    assert call("webhook", headers, body, other_keys={"old-key": "old-secret"})
    mixed = numbered(body, key="old-key", secret="old-secret") | signed(body)
    with pytest.raises(InvalidWebhook, match="X-Herenow-Signature is not that of"):
        call("webhook", mixed, body, other_keys={"old-key": "old-secret"})


@pytest.mark.parametrize(
    ("ids", "sequences"),
    [
        ("a1-7,a1-8", SEQUENCES),
        (IDS, "1,2"),
        (IDS + ",c", SEQUENCES + ",9"),
        ("", ""),
        ("a1-7,,b-2", SEQUENCES),
        ("a1-7,a1 8,b-2", SEQUENCES),
        ("x" * 65 + ",a,b", SEQUENCES),
        (IDS, "1,two,3"),
        (IDS, "1,-2,3"),
        (IDS, "1," + "9" * 30 + ",3"),
    ],
)
def test_lists_that_do_not_fit_the_events(call: Caller, ids: str, sequences: str) -> None:
    body = webhook_of(0, *EVENTS)
    with pytest.raises(InvalidWebhook):
        call("webhook", numbered(body, ids=ids, sequences=sequences), body)


def test_no_refusal_tells_the_right_signature(call: Caller) -> None:
    body = webhook_of(0, *EVENTS)
    headers = numbered(body)
    right = headers["X-Herenow-Signature"]
    with pytest.raises(InvalidWebhook) as refusal:
        call("webhook", headers | {"X-Herenow-Signature": "0" * 64}, body)
    assert right not in str(refusal.value)
    assert SECRET not in str(refusal.value)
