"""Statements 45 to 55: private and encrypted channels, and the signatures that open them."""

from __future__ import annotations

import pytest

from conformance.harness.connection import SUBSCRIPTION_ERROR, SUCCEEDED, Connection
from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.signing import channel_string, compact, hmac_hex
from conformance.harness.vectors import SAMPLE_SIGNATURES

FORMAT = "Invalid format: auth must have the format key:signature"


def subscribe_with(connection: Connection, channel: str, auth: object, **extra: object) -> None:
    connection.send("pusher:subscribe", {"channel": channel, "auth": auth, **extra})


@pytest.mark.parametrize(("string", "digest"), SAMPLE_SIGNATURES.items())
def test_045_correct_signature(service: Service, string: str, digest: str) -> None:
    """The vectors of §8.3: reproduced here, and their like accepted for a living socket id."""
    connection = service.connect("sample")
    assert hmac_hex(connection.app.secret, string) == digest
    _, _, rest = string.partition(":")
    if rest.startswith(":user:"):
        user_data = rest.removeprefix(":user:").removeprefix(":")
        connection.request_sign_in(user_data)
        connection.expect_object("pusher:signin_success", None, {"user_data": user_data})
        return
    channel, _, channel_data = rest.partition(":")
    if channel.startswith("presence-") and not channel_data:
        connection.sign_in("u-42")
    connection.subscribe(channel, channel_data or None)


@pytest.mark.parametrize("channel", ["private-orders", "private-cache-orders"])
def test_046_wrong_digest_is_refused(connection: Connection, channel: str) -> None:
    channel = unique(channel)
    right = connection.auth(channel).partition(":")[2]
    string = channel_string(connection.socket_id, channel)
    for wrong in ("00ff", "0" * 64, right[:-1], right + "0", right.upper()):
        subscribe_with(connection, channel, f"{connection.app.key}:{wrong}")
        connection.expect_refusal(
            channel,
            f"Invalid signature: Expected HMAC SHA256 hex digest of {string}, but got {wrong}",
        )


def test_047_foreign_key_is_refused(service: Service) -> None:
    connection, channel = service.connect(), unique("private-orders")
    other = service.app("other")
    string = channel_string(connection.socket_id, channel)
    for key in (other.key, "ffffffffffffffffffff", ""):
        subscribe_with(connection, channel, f"{key}:{hmac_hex(other.secret, string)}")
        text = f"Invalid key in subscription auth data: '{key}'" if key else None
        connection.expect_refusal(channel, text)


@pytest.mark.parametrize("data", [{}, {"auth": ""}, {"auth": "nocolon"}, {"auth": None}])
@pytest.mark.parametrize("channel", ["private-orders", "private-encrypted-orders"])
def test_048_no_signature_is_refused(
    connection: Connection, channel: str, data: dict[str, object]
) -> None:
    channel = unique(channel)
    connection.send("pusher:subscribe", {**data, "channel": channel})
    connection.expect_refusal(channel, FORMAT)
    subscribe_with(connection, channel, 5)
    connection.expect_refusal(channel, FORMAT)


def test_049_signature_is_for_one_socket_and_channel(service: Service) -> None:
    connection, other = service.connect(), service.connect()
    channel = unique("private-orders")
    for auth in (other.auth(channel), connection.auth(unique("private-orders"))):
        subscribe_with(connection, channel, auth)
        connection.expect_refusal(channel)
    subscribe_with(connection, channel, connection.auth(channel), channel_data="{}")
    connection.expect_refusal(channel)


@pytest.mark.parametrize("channel", ["private-orders", "presence-room", "private-encrypted-x"])
def test_050_correct_attempt_after_a_rejected_one(connection: Connection, channel: str) -> None:
    channel = unique(channel)
    data = {"channel_data": '{"user_id":"ada"}'} if channel.startswith("presence-") else {}
    subscribe_with(connection, channel, f"{connection.app.key}:00ff", **data)
    connection.expect_refusal(channel)
    connection.subscribe(channel, data.get("channel_data"))
    connection.expect_nothing()


def test_051_rejected_attempt_harms_nothing_else(service: Service) -> None:
    connection, api = service.connect(), service.api()
    channels = [unique("orders"), unique("private-orders")]
    for channel in channels:
        connection.subscribe(channel)
    refused = unique("private-orders")
    subscribe_with(connection, refused, f"{connection.app.key}:00ff")
    connection.expect_refusal(refused)
    api.publish("news", [*channels, refused], "1")
    for channel in channels:
        connection.expect_event("news", channel, "1")
    connection.expect_nothing()
    assert not api.occupied(refused)


def test_052_signature_error_has_no_code(connection: Connection) -> None:
    for channel in (unique("private-orders"), unique("private-encrypted-orders")):
        subscribe_with(connection, channel, f"{connection.app.key}:00ff")
        assert connection.next_error().code is None
        connection.fence()


def test_053_subscription_error_follows(connection: Connection) -> None:
    for channel in (unique("private-orders"), unique("presence-room")):
        data = {"channel_data": '{"user_id":"ada"}'} if channel.startswith("presence-") else {}
        subscribe_with(connection, channel, f"{connection.app.key}:00ff", **data)
        extra = connection.expect_refusal(channel)
        assert extra is not None, f"no {SUBSCRIPTION_ERROR} on {channel}"
        details = extra.decoded()
        assert details.keys() == {"type", "error", "status"}
        assert (details["type"], details["status"]) == ("AuthError", 401)
        assert isinstance(details["error"], str)
    for channel in (unique("private-encrypted-x"), unique("private-encrypted-cache-x")):
        subscribe_with(connection, channel, f"{connection.app.key}:00ff")
        assert connection.expect_refusal(channel) is None


def test_054_encrypted_verifies_like_private(service: Service) -> None:
    connection, channel = service.connect(), unique("private-encrypted-vault")
    auth = connection.auth(channel)
    subscribe_with(connection, channel, auth[:-2] + "zz", shared_secret="c2VjcmV0")
    connection.expect_refusal(channel)
    subscribe_with(connection, channel, auth, shared_secret="c2VjcmV0")
    connection.expect_event(SUCCEEDED, channel, "{}")
    envelope = compact({"nonce": "ZGVm", "ciphertext": "4152YdKIm1Rx"})
    service.api().publish("rotated", channel, envelope)
    connection.expect_event("rotated", channel, envelope)


@pytest.mark.parametrize("prefix", ["Private-", "PRIVATE-", "Presence-", "my-private-"])
def test_055_prefix_is_case_sensitive(connection: Connection, prefix: str) -> None:
    channel = unique(f"{prefix}x")
    connection.send("pusher:subscribe", {"channel": channel})
    connection.expect_event(SUCCEEDED, channel, "{}")
