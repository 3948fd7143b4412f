"""Statements 56 to 58, 61 to 65 and 67 to 76: who is in a room, and under which name."""

from __future__ import annotations

import json

import pytest

from conformance.harness.connection import (
    CACHE_MISS,
    MEMBER_ADDED,
    MEMBER_REMOVED,
    SUCCEEDED,
    Connection,
    member,
)
from conformance.harness.envelope import Roster
from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.signing import compact

ADA = {"name": "Ada", "role": "host"}
INVALID_INFO = (
    "user_info supplied to presence subscription is invalid - if supplied it must be a type of hash"
)


def info_of(size: int) -> dict[str, str]:
    """A ``user_info`` whose compact JSON has *size* bytes, not all of them ASCII."""
    empty = len(compact({"n": "é"}).encode())
    return {"n": "é" + "x" * (size - empty)}


def test_056_roster(service: Service) -> None:
    room, first, second = unique("presence-room"), service.connect(), service.connect()
    alone = first.join(room, "u-42", ADA)
    assert alone == Roster(("u-42",), {"u-42": ADA})
    both = second.join(room, "u-7", {"name": "Grace"})
    assert sorted(both.ids) == ["u-42", "u-7"]
    assert both.hash == {"u-42": ADA, "u-7": {"name": "Grace"}}


def test_057_first_connection_is_announced(service: Service) -> None:
    room = unique("presence-room")
    watchers = [service.connect(), service.connect()]
    watchers[0].join(room, "w-0")
    watchers[1].join(room, "w-1")
    watchers[0].expect_event(MEMBER_ADDED, room)
    joiner = service.connect()
    joiner.join(room, "u-42", ADA)
    for watcher in watchers:
        watcher.expect_object(MEMBER_ADDED, room, {"user_id": "u-42", "user_info": ADA})
        watcher.expect_nothing()
    joiner.expect_nothing()


def test_058_second_connection_is_not_announced(service: Service) -> None:
    room = unique("presence-room")
    watcher, first, second = (service.connect() for _ in range(3))
    watcher.join(room, "w")
    first.join(room, "u-42", ADA)
    watcher.expect_event(MEMBER_ADDED, room)
    roster = second.join(room, "u-42", ADA)
    assert sorted(roster.ids) == ["u-42", "w"]
    for connection in (watcher, first, second):
        connection.expect_nothing()


def test_061_integer_user_id_becomes_text(service: Service) -> None:
    room, api = unique("presence-room"), service.api()
    watcher, joiner = service.connect(), service.connect()
    watcher.join(room, "w")
    roster = joiner.join(room, 10, ADA)
    assert sorted(roster.ids) == ["10", "w"]
    watcher.expect_object(MEMBER_ADDED, room, {"user_id": "10", "user_info": ADA})
    assert api.user_ids(room) == ["10", "w"]
    joiner.send("client-typing", {}, room)
    watcher.expect_event("client-typing", room, user_id="10")
    service.connect().join(room, "10")
    watcher.expect_nothing()
    joiner.unsubscribe(room)
    watcher.expect_nothing()
    assert api.user_ids(room) == ["10", "w"]


@pytest.mark.parametrize(
    "data",
    [
        "{}",
        '{"user_info":{}}',
        '{"user_id":null}',
        '{"user_id":""}',
        '{"user_id":true}',
        '{"user_id":{}}',
        '{"user_id":["a"]}',
        "[]",
        "null",
        "ada",
        "",
        '{"user_id":"a\\u0000b"}',
    ],
)
def test_062_bad_user_id_is_refused(service: Service, data: str) -> None:
    room, watcher, joiner = unique("presence-room"), service.connect(), service.connect()
    watcher.join(room, "w")
    joiner.request_subscribe(room, data)
    joiner.expect_refusal(room)
    watcher.expect_nothing()
    assert service.api().user_ids(room) == ["w"]
    joiner.join(room, "u-42")


@pytest.mark.parametrize(
    "data",
    [
        '{"user_id": "u-7", "user_info": {"name": "Grace"}}',
        r'{"user_id":"u-7","user_info":{"name":"a\/b"}}',
        r'{"user_id":"u-7","user_info":{"name":"Zo\u00eb \u2615"}}',
        '{"user_id":"u-7","user_info":{"name":"Zoë ☕"}}',
        '{\n  "user_info" : {"name":"Grace"},\n  "user_id" : "u-7"\n}',
    ],
)
def test_063_signature_covers_channel_data_verbatim(connection: Connection, data: str) -> None:
    room = unique("presence-room")
    rewritten = compact(dict(reversed(json.loads(data).items())))
    assert rewritten != data
    auth = connection.auth(room, data)
    request = {"channel": room, "auth": auth, "channel_data": rewritten}
    connection.send("pusher:subscribe", request)
    connection.expect_refusal(room)
    roster = Roster.of(connection.subscribe(room, data))
    assert roster.hash == {"u-7": json.loads(data)["user_info"]}


@pytest.mark.parametrize("data", ['{"user_id":"u-42"}', '{"user_id":"u-42","user_info":null}'])
def test_064_absent_user_info_is_an_empty_object(service: Service, data: str) -> None:
    room, watcher, joiner = unique("presence-room"), service.connect(), service.connect()
    watcher.join(room, "w")
    assert Roster.of(joiner.subscribe(room, data)).hash == {"w": {}, "u-42": {}}
    watcher.expect_object(MEMBER_ADDED, room, {"user_id": "u-42", "user_info": {}})


@pytest.mark.parametrize("info", [True, "x", 7, [], ["a"]])
def test_065_user_info_must_be_an_object(connection: Connection, info: object) -> None:
    room = unique("presence-room")
    connection.request_subscribe(room, member("u-42", info))
    connection.expect_refusal(room, INVALID_INFO)


def test_067_user_info_size(connection: Connection) -> None:
    room = unique("presence-room")
    for size in (1025, 5000):
        connection.request_subscribe(room, member("u-42", info_of(size)))
        connection.expect_refusal(room)
    assert connection.join(room, "u-42", info_of(1024)).hash == {"u-42": info_of(1024)}


def test_068_user_id_length(connection: Connection) -> None:
    room = unique("presence-room")
    connection.request_subscribe(room, member("u" * 129))
    connection.expect_refusal(room)
    assert connection.join(room, "u" * 128).ids == ("u" * 128,)


def test_069_newest_user_info_holds(service: Service) -> None:
    room = unique("presence-room")
    watcher, first, second, late = (service.connect() for _ in range(4))
    watcher.join(room, "w")
    first.join(room, "u-42", {"name": "old"})
    watcher.expect_event(MEMBER_ADDED, room)
    assert second.join(room, "u-42", {"name": "new"}).hash["u-42"] == {"name": "new"}
    second.unsubscribe(room)
    second.expect_nothing()
    assert late.join(room, "late").hash["u-42"] == {"name": "new"}
    for connection in (watcher, first):
        connection.expect_object(MEMBER_ADDED, room, {"user_id": "late", "user_info": {}})
        connection.expect_nothing()


def test_070_signed_in_user_joins_without_channel_data(service: Service) -> None:
    room, user = unique("presence-room"), unique("ada")
    watcher, joiner = service.connect(), service.connect()
    watcher.join(room, "w")
    joiner.sign_in(user, user_info=ADA)
    assert Roster.of(joiner.subscribe(room)).hash == {"w": {}, user: ADA}
    watcher.expect_object(MEMBER_ADDED, room, {"user_id": user, "user_info": ADA})
    joiner.send("client-typing", {}, room)
    watcher.expect_event("client-typing", room, user_id=user)
    assert service.api().user_ids(room) == sorted([user, "w"])
    joiner.unsubscribe(room)
    watcher.expect_object(MEMBER_REMOVED, room, {"user_id": user})


def test_071_nobody_joins_without_channel_data(connection: Connection) -> None:
    room = unique("presence-room")
    connection.request_subscribe(room)
    text = f"{room} is a presence channel and subscription must include channel_data"
    connection.expect_refusal(room, text)
    connection.join(room, "u-42")


def test_072_null_channel_data_is_absent(connection: Connection) -> None:
    room, user = unique("presence-room"), unique("ada")
    request = {"channel": room, "auth": connection.auth(room), "channel_data": None}
    connection.send("pusher:subscribe", request)
    connection.expect_refusal(room)
    connection.sign_in(user)
    connection.send("pusher:subscribe", request)
    assert Roster.of(connection.expect_event(SUCCEEDED, room)).hash == {user: {}}


def test_073_channel_data_wins_over_sign_in(service: Service) -> None:
    room, watcher, joiner = unique("presence-room"), service.connect(), service.connect()
    watcher.join(room, "w")
    joiner.sign_in(unique("ada"), user_info=ADA)
    assert joiner.join(room, "u-7", {"name": "Grace"}).hash == {"w": {}, "u-7": {"name": "Grace"}}
    watcher.expect_object(MEMBER_ADDED, room, {"user_id": "u-7", "user_info": {"name": "Grace"}})
    joiner.send("client-typing", {}, room)
    watcher.expect_event("client-typing", room, user_id="u-7")


def test_074_sign_in_and_subscribe_back_to_back(service: Service) -> None:
    user = unique("ada")
    user_data = compact({"id": user, "user_info": ADA})

    def requests(connection: Connection, room: str) -> tuple[str, str]:
        sign_in = {"auth": connection.user_auth(user_data), "user_data": user_data}
        subscribe = {"auth": connection.auth(room), "channel": room}
        return (
            compact({"event": "pusher:signin", "data": sign_in}),
            compact({"event": "pusher:subscribe", "data": subscribe}),
        )

    connection, room = service.connect(), unique("presence-room")
    connection.send_text(*requests(connection, room))
    connection.expect_event("pusher:signin_success")
    assert Roster.of(connection.expect_event(SUCCEEDED, room)).hash == {user: ADA}
    connection.expect_nothing()

    early, room = service.connect(), unique("presence-room")
    early.send_text(*reversed(requests(early, room)))
    early.next_error()
    following = early.receive()
    if getattr(following, "name", None) == "pusher:subscription_error":
        following = early.receive()
    assert getattr(following, "name", None) == "pusher:signin_success"
    early.expect_nothing()
    assert service.api().user_ids(room) == []


def test_075_two_ways_to_be_one_member(service: Service) -> None:
    room, user = unique("presence-room"), unique("ada")
    watcher, named, signed_in = (service.connect() for _ in range(3))
    watcher.join(room, "w")
    named.join(room, user, ADA)
    watcher.expect_event(MEMBER_ADDED, room)
    signed_in.sign_in(user, user_info=ADA)
    assert sorted(Roster.of(signed_in.subscribe(room)).ids) == sorted([user, "w"])
    named.unsubscribe(room)
    watcher.expect_nothing()
    assert service.api().user_ids(room) == sorted([user, "w"])
    signed_in.unsubscribe(room)
    watcher.expect_object(MEMBER_REMOVED, room, {"user_id": user})
    watcher.expect_nothing()


def test_076_presence_cache(service: Service) -> None:
    room, first, second = unique("presence-cache-room"), service.connect(), service.connect()
    assert first.join(room, "u-42", ADA).hash == {"u-42": ADA}
    first.expect_event(CACHE_MISS, room, "{}")
    service.api().publish("report", room, "1")
    first.expect_event("report", room, "1")
    assert sorted(second.join(room, "u-7").ids) == ["u-42", "u-7"]
    second.expect_event("report", room, "1")
    second.expect_nothing()
    first.expect_object(MEMBER_ADDED, room, {"user_id": "u-7", "user_info": {}})
    first.expect_nothing()
