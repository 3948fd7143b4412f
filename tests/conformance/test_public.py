"""Statements 35 to 44: public channels, and what holds for every channel."""

from __future__ import annotations

import pytest

from conformance.harness.connection import SUCCEEDED, Connection
from conformance.harness.names import unique
from conformance.harness.service import Service, eventually


@pytest.mark.parametrize("extra", [{}, {"auth": ""}, {"auth": "nonsense"}, {"auth": None}])
def test_035_subscribe(connection: Connection, extra: dict[str, object]) -> None:
    channel = unique("orders.live")
    connection.send("pusher:subscribe", {**extra, "channel": channel})
    connection.expect_event(SUCCEEDED, channel, "{}")
    connection.expect_nothing()


def test_036_name_length(connection: Connection) -> None:
    longest = unique("n").ljust(164, "x")
    connection.request_subscribe(longest + "x")
    connection.expect_error()
    connection.subscribe(longest)
    private = unique("private-n").ljust(164, "x")
    connection.request_subscribe(private + "x")
    connection.expect_refusal(private + "x")
    connection.subscribe(private)


@pytest.mark.parametrize(
    "name", ["a b", "a/b", "a:b", "é", "", "#x", "a#b", "a\n", "a|b", "a\\b", "a+b", "a%20b"]
)
def test_037_illegal_names(connection: Connection, name: str) -> None:
    connection.request_subscribe(name)
    connection.expect_error()
    connection.subscribe(unique("legal_-=@,.;AZaz09"))


def test_038_second_subscribe(service: Service) -> None:
    connection, channel = service.connect(), unique("orders")
    connection.subscribe(channel)
    connection.request_subscribe(channel)
    connection.expect_error(None, f"Existing subscription to channel {channel}")
    service.api().publish("news", channel, "1")
    connection.expect_event("news", channel, "1")
    connection.expect_nothing()


def test_039_unsubscribe(service: Service) -> None:
    leaver, stayer, channel = service.connect(), service.connect(), unique("orders")
    leaver.subscribe(channel)
    stayer.subscribe(channel)
    leaver.unsubscribe(channel)
    leaver.expect_nothing()
    service.api().publish("news", channel, "1")
    stayer.expect_event("news", channel, "1")
    leaver.expect_nothing()


@pytest.mark.parametrize("prefix", ["", "private-", "presence-"])
def test_040_unsubscribe_when_not_subscribed(connection: Connection, prefix: str) -> None:
    channel = unique(f"{prefix}orders")
    text = f"No current subscription to channel {channel}, or subscription in progress"
    connection.unsubscribe(channel)
    connection.expect_error(None, text)
    connection.subscribe(channel, '{"user_id":"ada"}' if prefix == "presence-" else None)
    connection.unsubscribe(channel)
    connection.unsubscribe(channel)
    connection.expect_error(None, text)


def test_041_subscribe_unsubscribe_subscribe(service: Service) -> None:
    connection, channel = service.connect(), unique("orders")
    subscribe = f'{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}'
    unsubscribe = f'{{"event":"pusher:unsubscribe","data":{{"channel":"{channel}"}}}}'
    connection.send_text(subscribe, unsubscribe, subscribe)
    connection.expect_event(SUCCEEDED, channel, "{}")
    connection.expect_event(SUCCEEDED, channel, "{}")
    connection.expect_nothing()
    service.api().publish("news", channel, "1")
    connection.expect_event("news", channel, "1")
    connection.expect_nothing()


def test_042_one_event_to_two_channels(service: Service) -> None:
    connection, channels = service.connect(), [unique("a"), unique("b")]
    for channel in channels:
        connection.subscribe(channel)
    service.api().publish("news", channels, "1")
    for channel in channels:
        connection.expect_event("news", channel, "1")
    connection.expect_nothing()


def test_043_publish_order(service: Service) -> None:
    connections, channel, api = (
        [service.connect() for _ in range(3)],
        unique("orders"),
        service.api(),
    )
    for connection in connections:
        connection.subscribe(channel)
    for number in range(1_000):
        api.publish("news", channel, str(number))
    for connection in connections:
        for number in range(1_000):
            connection.expect_event("news", channel, str(number))
        connection.expect_nothing()


@pytest.mark.parametrize("abruptly", [False, True])
def test_044_close_removes_subscriptions(service: Service, abruptly: bool) -> None:
    connection, api = service.connect(), service.api()
    channels = [unique("orders"), unique("private-orders"), unique("cache-orders")]
    for channel in channels:
        connection.subscribe(channel)
    service.see(lambda: all(api.occupied(channel) for channel in channels), bool)
    if abruptly:
        connection.reset()
    else:
        connection.close()
    eventually(
        lambda: [api.occupied(channel) for channel in channels],
        lambda occupied: not any(occupied),
    )
