"""Webhooks: who is believed (protocol reference §17)."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import pytest
from starlette.datastructures import Headers

from herenow import InvalidArgument, InvalidWebhook
from herenow.protocol.signing import hex_digest
from sdk.callers import KEY, SECRET, Caller, Client

SAMPLES: Final = {
    '{"time_ms":1760000000123,"events":[{"name":"channel_occupied","channel":"orders.live"}]}': (
        "41aa1a0c2fc4f04f593302023a5f01ad38b800b43656eac665581d0a0563df45"
    ),
    '{"time_ms":1760000000127,"events":[{"name":"client_event","channel":"presence-room.7",'
    '"event":"client-typing","data":"{\\"draft\\":true,\\"len\\":3}",'
    '"socket_id":"81234.5678901","user_id":"u-42"}]}': (
        "80b8d46d58234fef9e09ce237a230b5a92698b24d9068b89db11a7d013d9bb2b"
    ),
    '{"time_ms":1760000000130,"events":[{"name":"subscription_count","channel":"orders.live",'
    '"subscription_count":3}]}': (
        "762fb8a8b465b249820a792645241211c634d6ebaa64cc5d9dc6c80ab9f956ba"
    ),
    '{"time_ms":1760000000999,"events":[{"name":"channel_occupied","channel":"orders.live"},'
    '{"name":"member_added","channel":"presence-room.7","user_id":"u-42"}]}': (
        "a95006b1bbb48d6347123bf5d7ef9f4f39cb6ff14f978bdd72539af179cdec11"
    ),
}
EVENT: Final = {"name": "channel_occupied", "channel": "news"}


def signed(body: bytes, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    return {"X-Pusher-Key": key, "X-Pusher-Signature": hex_digest(secret, body)}


def webhook_of(seconds_ago: float = 0, *events: object) -> bytes:
    time_ms = int((time.time() - seconds_ago) * 1000)
    return json.dumps({"time_ms": time_ms, "events": list(events) or [EVENT]}).encode()


@pytest.mark.parametrize(("body", "signature"), SAMPLES.items())
def test_the_samples_of_the_reference(call: Caller, body: str, signature: str) -> None:
    headers = {"X-Pusher-Key": KEY, "X-Pusher-Signature": signature}
    webhook = call("webhook", headers, body.encode(), max_age_seconds=None)
    assert webhook == json.loads(body)


@pytest.mark.parametrize("change", [str.lower, str.upper, str])
def test_headers_in_any_capitalisation(call: Caller, change: Any) -> None:
    body = webhook_of()
    headers = {change(name): value for name, value in signed(body).items()}
    assert call("webhook", headers, body)["events"] == [EVENT]


def test_the_bytes_count_and_not_what_they_mean(call: Caller) -> None:
    body = webhook_of()
    for other in (body.replace(b" ", b""), body + b"\n", body.replace(b"news", b"mews")):
        with pytest.raises(InvalidWebhook, match="not that of this body"):
            call("webhook", signed(body), other)


@pytest.mark.parametrize(
    "signature", ["", "0" * 64, "é" * 64, "\ud800", hex_digest("another", "{}")]
)
def test_another_signature(call: Caller, signature: str) -> None:
    headers = {"X-Pusher-Key": KEY, "X-Pusher-Signature": signature}
    with pytest.raises(InvalidWebhook, match="not that of this body") as refusal:
        call("webhook", headers, body := webhook_of())
    assert hex_digest(SECRET, body) not in str(refusal.value), "nobody is told the right one"


@pytest.mark.parametrize("missing", ["X-Pusher-Key", "X-Pusher-Signature"])
def test_a_missing_header(call: Caller, missing: str) -> None:
    headers = signed(body := webhook_of())
    del headers[missing]
    with pytest.raises(InvalidWebhook, match=f"the header {missing} is missing"):
        call("webhook", headers, body)


def test_another_key(call: Caller) -> None:
    body = webhook_of()
    headers = signed(body, key="old-key", secret="old-secret")
    with pytest.raises(InvalidWebhook, match="'old-key', which is not this application's"):
        call("webhook", headers, body)
    pairs = {"old-key": "old-secret"}
    assert call("webhook", headers, body, other_keys=pairs)["events"] == [EVENT]
    assert call("webhook", signed(body), body, other_keys=pairs)["events"] == [EVENT]
    own = {KEY: "not the secret"}
    assert call("webhook", signed(body), body, other_keys=own)["events"] == [EVENT]


@pytest.mark.parametrize(
    "other_keys",
    [
        {"old-key": "old-secret\udcff"},
        {"old-key": b"old-secret"},
        {"old-key": ""},
        {7: "old-secret"},
        ["old-key", "old-secret"],
        "old-secret",
    ],
)
def test_other_keys_that_are_none_are_not_quoted(call: Caller, other_keys: Any) -> None:
    headers = signed(body := webhook_of(), key="old-key", secret="old-secret")
    with pytest.raises(InvalidArgument) as refusal:
        call("webhook", headers, body, other_keys=other_keys)
    assert refusal.value.argument == "other_keys"
    assert "old-secret" not in repr(refusal.value)


@pytest.mark.parametrize("seconds_ago", [310, -310, 100_000])
def test_a_webhook_of_another_time(call: Caller, seconds_ago: float) -> None:
    body = webhook_of(seconds_ago)
    with pytest.raises(InvalidWebhook, match="allowed are 300 s"):
        call("webhook", signed(body), body)
    assert call("webhook", signed(body), body, max_age_seconds=None)
    assert call("webhook", signed(body), body, max_age_seconds=200_000)


@pytest.mark.parametrize("seconds_ago", [290, 0, -290])
def test_a_webhook_within_300_seconds(call: Caller, seconds_ago: float) -> None:
    body = webhook_of(seconds_ago)
    assert call("webhook", signed(body), body)["events"] == [EVENT]


def test_a_shorter_age_when_told(call: Caller) -> None:
    body = webhook_of(30)
    with pytest.raises(InvalidWebhook, match="allowed are 10 s"):
        call("webhook", signed(body), body, max_age_seconds=10)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"time_ms":1760000000123}',
        b'{"time_ms":"1760000000123","events":[]}',
        b'{"time_ms":1760000000123.5,"events":[]}',
        b'{"time_ms":true,"events":[]}',
        b'{"time_ms":1760000000123,"events":{}}',
        b'{"time_ms":1760000000123,"events":[{"name":"channel_occupied"}]}',
        b'{"time_ms":1760000000123,"events":[{"name":1,"channel":"x"}]}',
        b'{"time_ms":' + b"9" * 5_000 + b',"events":[]}',
    ],
)
def test_a_signed_body_of_another_form(call: Caller, body: bytes) -> None:
    with pytest.raises(InvalidWebhook):
        call("webhook", signed(body), body)
    with pytest.raises(InvalidWebhook):
        call("webhook", signed(body), body, max_age_seconds=None)


def test_an_absurd_time_is_too_old_and_not_an_accident(call: Caller) -> None:
    body = b'{"time_ms":' + b"9" * 400 + b',"events":[]}'
    with pytest.raises(InvalidWebhook):
        call("webhook", signed(body), body)


@pytest.mark.parametrize("body", ["{}", None, {"time_ms": 1}])
def test_a_body_that_is_not_bytes(call: Caller, body: Any) -> None:
    with pytest.raises(InvalidArgument, match="expected the bytes of the request as received"):
        call("webhook", signed(b"{}"), body)


def test_events_that_a_later_server_adds(call: Caller) -> None:
    body = webhook_of(0, {"name": "user_away", "channel": "x", "since": 1})
    events = call("webhook", signed(body), body)["events"]
    assert events == [{"name": "user_away", "channel": "x"}]


def test_headers_of_a_framework(client: Client) -> None:
    body = webhook_of()
    assert Caller(client)("webhook", Headers(signed(body)), body)["events"] == [EVENT]
