"""Statements 26 to 34: the form of frames, and what bad input is answered with."""

from __future__ import annotations

import json

import pytest

from conformance.harness.connection import (
    CACHE_MISS,
    MEMBER_ADDED,
    MEMBER_REMOVED,
    SUBSCRIPTION_COUNT,
    SUCCEEDED,
    WATCHLIST,
    Connection,
)
from conformance.harness.names import unique
from conformance.harness.service import Service

HASH_EXPECTED = "Expected parameter data to be a hash"


def test_026_data_is_a_string_in_every_frame(service: Service) -> None:
    """Every frame in this suite is checked so; here is one of each kind."""
    room, user = unique("presence-cache-room"), unique("ada")
    first, second = service.connect("watchlist"), service.connect("watchlist")
    first.sign_in(user, watchlist=[unique("bob")])
    first.expect_event(WATCHLIST)
    first.join(room, user)
    first.expect_event(CACHE_MISS, room)
    second.join(room, unique("bob"))
    second.expect_event(CACHE_MISS, room)
    first.expect_event(MEMBER_ADDED, room)
    first.send("client-typing", {"draft": True}, room)
    second.expect_event("client-typing", room, user_id=user)
    second.unsubscribe(room)
    first.expect_event(MEMBER_REMOVED, room)
    service.api("watchlist").publish("news", room, "plain")
    first.expect_event("news", room, "plain")
    first.send("foo", {})
    first.expect_error()
    first.send("pusher:ping", {})
    first.expect_event("pusher:pong")
    counted, channel = service.connect("counted"), unique("orders")
    counted.subscribe(channel)
    counted.expect_event(SUBSCRIPTION_COUNT, channel)
    service.api("watchlist").terminate(user)
    first.expect_closed(4009)


@pytest.mark.parametrize(
    "data",
    [
        '{"a": 1}',
        "plain",
        '""',
        "",
        '"é☕"',
        "é☕ 🙂",
        r'"<\/x>"',
        '{ "b" : [1.0, 1e3],\n\t"a":null }',
        r"back\slash \u0041 \n",
        "\x00\x1f\x7f\u2028",
        "123",
    ],
)
def test_027_published_data_arrives_unchanged(service: Service, data: str) -> None:
    channel, api = unique("orders"), service.api()
    connection = service.connect()
    connection.subscribe(channel)
    content = {"name": "note", "channel": channel, "data": data}
    for ascii_only in (False, True):
        body = json.dumps(content, ensure_ascii=ascii_only).encode()
        assert api.post_bytes("events", body).accepted() == {}
        connection.expect_event("note", channel, data)


@pytest.mark.parametrize("text", ["hello", "", "{", '{"event":"pusher:ping"', "'x'", "{} {}"])
def test_028_text_that_is_not_json(connection: Connection, text: str) -> None:
    connection.send_text(text)
    connection.expect_error()


@pytest.mark.parametrize("text", ["[]", "1", "null", "true", '"pusher:ping"', '[{"event":"a"}]'])
def test_029_json_that_is_not_an_object(connection: Connection, text: str) -> None:
    connection.send_text(text)
    connection.expect_error()


@pytest.mark.parametrize(
    "text", ["{}", '{"data":{}}', '{"event":null,"data":{}}', '{"event":1,"data":{}}']
)
def test_030_no_event(connection: Connection, text: str) -> None:
    connection.send_text(text)
    connection.expect_error()


@pytest.mark.parametrize(
    "name", ["foo", "my-event", "pusher:foo", "pusher_internal:member_added", "Client-x", ""]
)
def test_031_unsupported_event(connection: Connection, name: str) -> None:
    connection.send(name, {})
    connection.expect_error(None, f"Unsupported event received on socket: {name}")


def test_032_binary_frame(connection: Connection) -> None:
    connection.websocket.send(b"\x82\x82\x00\x00\x00\x00{}")
    connection.expect_closed(1003)


@pytest.mark.parametrize("data", ["x", "", "[]", [], None, 7, True])
def test_033_data_is_not_an_object(connection: Connection, data: object) -> None:
    connection.send("pusher:subscribe", data)
    connection.expect_error(None, HASH_EXPECTED)
    connection.send_text('{"event":"pusher:subscribe"}')
    connection.expect_error(None, HASH_EXPECTED)
    channel = unique("orders")
    connection.send("pusher:subscribe", f'{{"channel":"{channel}"}}')
    connection.expect_event(SUCCEEDED, channel, "{}")


@pytest.mark.parametrize("data", [{}, {"channel": None}, {"auth": ""}, {"channel": 5}])
def test_034_no_channel(connection: Connection, data: object) -> None:
    connection.send("pusher:subscribe", data)
    connection.expect_error(None, "Missing parameter: data.channel")
