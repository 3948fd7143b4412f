"""Statements 101 to 113: what clients may tell each other."""

from __future__ import annotations

import pytest

from conformance.harness.connection import CACHE_MISS, MEMBER_ADDED, Connection
from conformance.harness.names import unique
from conformance.harness.service import Service, eventually
from conformance.harness.signing import compact

DISABLED = (
    "To send client events, you must enable this feature in the Settings page of your dashboard."
)
INCOMPLETE = "Invalid client event (must contain channel and data)"


def subscribed(service: Service, channel: str, number: int) -> list[Connection]:
    """So many connections on *channel*, with nothing left to read."""
    connections = [service.connect() for _ in range(number)]
    for connection in connections:
        connection.subscribe(channel)
    return connections


@pytest.mark.parametrize(
    ("sent", "relayed"),
    [
        ('{"draft": true, "len": 3}', '{"draft":true,"len":3}'),
        ('{ "name" : "Zoë \u2615", "list" : [ 1, null ] }', '{"name":"Zoë ☕","list":[1,null]}'),
        ("[1, 2]", "[1,2]"),
        ("7", "7"),
        ("false", "false"),
        ("{}", "{}"),
    ],
)
def test_101_relayed_to_others(service: Service, sent: str, relayed: str) -> None:
    channel = unique("private-orders")
    sender, *others = subscribed(service, channel, 3)
    sender.send_text(f'{{"event":"client-typing","channel":"{channel}","data":{sent}}}')
    for other in others:
        other.expect_event("client-typing", channel, relayed)
    sender.expect_nothing()


@pytest.mark.parametrize("data", ["plain", '{"draft": true}', "", '"quoted"', "é☕", "a\n\\b"])
def test_102_text_is_relayed_unchanged(service: Service, data: str) -> None:
    channel = unique("private-orders")
    sender, other = subscribed(service, channel, 2)
    sender.send("client-typing", data, channel)
    other.expect_event("client-typing", channel, data)


def test_103_own_other_connection(service: Service) -> None:
    room = unique("presence-room")
    sender, other = service.connect(), service.connect()
    sender.join(room, "ada")
    other.join(room, "ada")
    sender.send("client-typing", {}, room)
    other.expect_event("client-typing", room, "{}", user_id="ada")
    sender.expect_nothing()


def test_104_user_id(service: Service) -> None:
    room, channel = unique("presence-room"), unique("private-orders")
    sender, other = service.connect(), service.connect()
    sender.join(room, "ada")
    other.join(room, "bob")
    sender.expect_event(MEMBER_ADDED, room)
    sender.send("client-typing", {}, room, user_id="bob")
    other.expect_event("client-typing", room, "{}", user_id="ada")
    for connection in (sender, other):
        connection.subscribe(channel)
    sender.send("client-typing", {}, channel, user_id="bob")
    other.expect_event("client-typing", channel, "{}", user_id=None)


def test_105_setting_off(service: Service) -> None:
    channel = unique("private-orders")
    sender, other = service.connect("other"), service.connect("other")
    sender.subscribe(channel)
    other.subscribe(channel)
    sender.send("client-typing", {}, channel)
    sender.expect_error(None, DISABLED)
    other.expect_nothing()


@pytest.mark.parametrize("prefix", ["private-", "presence-"])
def test_106_not_subscribed(service: Service, prefix: str) -> None:
    channel, sender, other = unique(f"{prefix}x"), service.connect(), service.connect()
    other.subscribe(channel, '{"user_id":"ada"}' if prefix == "presence-" else None)
    sender.send("client-typing", {}, channel)
    sender.expect_error(
        None,
        f"Cannot broadcast client event (connection not subscribed to channel {channel})",
    )
    other.expect_nothing()


def test_107_channels_without_client_events(service: Service) -> None:
    sender, other, user = service.connect(), service.connect(), unique("ada")
    channels = [unique("orders"), unique("cache-orders"), f"#server-to-user-{user}"]
    for connection in (sender, other):
        connection.sign_in(user)
        for channel in channels:
            connection.subscribe(channel)
            if channel.startswith("cache-"):
                connection.expect_event(CACHE_MISS, channel)
    for channel in channels:
        sender.send("client-typing", {}, channel)
        sender.expect_error()
        other.expect_nothing()


@pytest.mark.parametrize("prefix", ["private-encrypted-", "private-encrypted-cache-"])
def test_108_encrypted_channel(service: Service, prefix: str) -> None:
    channel, sender, other = unique(prefix), service.connect(), service.connect()
    for connection in (sender, other):
        connection.subscribe(channel)
        if "cache" in prefix:
            connection.expect_event(CACHE_MISS, channel)
    sender.send("client-typing", {}, channel)
    sender.expect_error()
    other.expect_nothing()


def client_event(channel: str, data: object) -> str:
    return compact({"event": "client-typing", "channel": channel, "data": data})


def test_109_rate(service: Service) -> None:
    channel = unique("private-orders")
    sender, other = subscribed(service, channel, 2)
    sender.send_text(*(client_event(channel, str(number)) for number in range(11)))
    sender.expect_error(4301)
    for number in range(10):
        other.expect_event("client-typing", channel, str(number))
    other.expect_nothing()

    def accepted() -> bool:
        sender.send_text(client_event(channel, "later"))
        return sender.fence() == []

    eventually(accepted, bool)
    other.expect_event("client-typing", channel, "later")


def test_110_rate_is_per_connection(service: Service) -> None:
    channel = unique("private-orders")
    senders = subscribed(service, channel, 2)
    for sender in senders:
        sender.send_text(*(client_event(channel, str(number)) for number in range(10)))
    for sender in senders:
        for number in range(10):
            sender.expect_event("client-typing", channel, str(number))
        sender.expect_nothing()


@pytest.mark.parametrize("filler", ["x", "é"])
def test_111_size(service: Service, filler: str) -> None:
    channel, largest = unique("private-orders"), filler * (10_240 // len(filler.encode()))
    sender, other = subscribed(service, channel, 2)
    sender.send("client-typing", largest, channel)
    other.expect_event("client-typing", channel, largest)
    sender.send("client-typing", largest + "x", channel)
    sender.expect_error()
    sender.send("client-typing", {"text": "x" * 10_240}, channel)
    sender.expect_error()
    other.expect_nothing()


def test_112_incomplete(service: Service) -> None:
    channel = unique("private-orders")
    sender, other = subscribed(service, channel, 2)
    for text in (
        f'{{"event":"client-typing","channel":"{channel}"}}',
        '{"event":"client-typing","data":{}}',
        '{"event":"client-typing"}',
        '{"event":"client-typing","channel":null,"data":{}}',
        f'{{"event":"client-typing","channel":"{channel}","data":null}}',
    ):
        sender.send_text(text)
        sender.expect_error(None, INCOMPLETE)
    other.expect_nothing()


@pytest.mark.parametrize("prefix", ["private-cache-", "presence-cache-"])
def test_113_not_cached(service: Service, prefix: str) -> None:
    channel = unique(prefix)
    sender, other, late = (service.connect() for _ in range(3))
    presence = prefix.startswith("presence-")
    for user, connection in {"ada": sender, "bob": other}.items():
        connection.subscribe(channel, f'{{"user_id":"{user}"}}' if presence else None)
        connection.expect_event(CACHE_MISS, channel)
    sender.send("client-typing", {}, channel)
    other.expect_event("client-typing", channel, "{}", user_id="ada" if presence else None)
    late.subscribe(channel, '{"user_id":"late"}' if presence else None)
    late.expect_event(CACHE_MISS, channel, "{}")
    late.expect_nothing()
