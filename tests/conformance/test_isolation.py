"""Two applications of one server, with the same names everywhere, know nothing of each other."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from conformance.harness.api import Api
from conformance.harness.connection import CACHE_MISS, WATCHLIST, Connection
from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.websocket import Endpoint


@dataclass(frozen=True, slots=True)
class Side:
    """One application, with one connection to it."""

    app: str
    connection: Connection
    api: Api


@pytest.fixture
def left(service: Service) -> Side:
    return Side("left", service.connect("left"), service.api("left"))


@pytest.fixture
def right(service: Service) -> Side:
    return Side("right", service.connect("right"), service.api("right"))


@pytest.mark.parametrize("prefix", ["", "private-", "private-encrypted-", "presence-"])
def test_published_events(left: Side, right: Side, prefix: str) -> None:
    channel = unique(f"{prefix}x")
    member = '{"user_id":"ada"}' if prefix == "presence-" else None
    for side in (left, right):
        side.connection.subscribe(channel, member)
    left.api.publish("news", channel, "left")
    left.connection.expect_event("news", channel, "left")
    right.connection.expect_nothing()
    right.api.publish("news", channel, "right", socket_id=left.connection.socket_id)
    right.connection.expect_event("news", channel, "right")
    left.connection.expect_nothing()


def test_client_events(service: Service, left: Side, right: Side) -> None:
    channel, other = unique("private-x"), service.connect("left")
    for connection in (left.connection, right.connection, other):
        connection.subscribe(channel)
    left.connection.send("client-typing", {}, channel)
    other.expect_event("client-typing", channel, "{}")
    right.connection.expect_nothing()


def test_rosters(left: Side, right: Side) -> None:
    room = unique("presence-room")
    assert left.connection.join(room, "ada", {"side": "left"}).hash == {"ada": {"side": "left"}}
    assert right.connection.join(room, "ada", {"side": "right"}).hash == {"ada": {"side": "right"}}
    left.connection.expect_nothing()
    left.connection.unsubscribe(room)
    left.connection.expect_nothing()
    right.connection.expect_nothing()
    assert left.api.user_ids(room) == []
    assert right.api.user_ids(room) == ["ada"]
    assert not left.api.occupied(room)
    listed = left.api.get("channels", filter_by_prefix=room, info="user_count").accepted()
    assert listed == {"channels": {}}
    counted = left.api.trigger("news", room, "1", info="user_count").accepted()
    assert counted == {"channels": {room: {"user_count": 0}}}
    right.connection.expect_nothing()


def test_users(left: Side, right: Side) -> None:
    user = unique("ada")
    channel = f"#server-to-user-{user}"
    for side in (left, right):
        side.connection.sign_in(user)
        side.connection.subscribe(channel)
    left.api.publish("hello", channel, "1")
    left.connection.expect_event("hello", channel, "1")
    right.connection.expect_nothing()
    left.api.terminate(user)
    left.connection.expect_closed(4009)
    right.connection.expect_nothing()


def test_watchlists(left: Side, right: Side) -> None:
    user = unique("bob")
    right.connection.sign_in(user)
    left.connection.sign_in(unique("ada"), watchlist=[user])
    offline = {"events": [{"name": "offline", "user_ids": [user]}]}
    left.connection.expect_object(WATCHLIST, None, offline)
    right.connection.close()
    left.connection.expect_nothing()


def test_cached_events(left: Side, right: Side) -> None:
    channel = unique("cache-x")
    left.api.publish("report", channel, "left")
    right.connection.subscribe(channel)
    right.connection.expect_event(CACHE_MISS, channel, "{}")
    left.connection.subscribe(channel)
    left.connection.expect_event("report", channel, "left")
    cached = right.api.get(f"channels/{channel}", info="cache").accepted()
    assert cached == {"occupied": True, "cache": None}


def test_credentials(left: Side, right: Side) -> None:
    channel, user_data = unique("private-x"), f'{{"id":"{unique("ada")}"}}'
    connection = left.connection
    forged = Connection(connection.websocket, right.connection.app)
    forged.socket_id = connection.socket_id
    foreign = f"Invalid key in subscription auth data: '{forged.app.key}'"
    forged.request_subscribe(channel)
    forged.expect_refusal(channel, foreign)
    forged.request_sign_in(user_data)
    forged.expect_error(None, foreign)
    path = left.api.path("channels")
    right.api.send("GET", path, right.api.sign("GET", path, [])).refused(401)
    connection.subscribe(channel)
    assert not right.api.occupied(channel)


def test_admin_reads(service: Service, left: Side, right: Side) -> None:
    admins = [node.admin for node in service.server.nodes if node.admin is not None]
    if not admins:
        pytest.skip("the target's admin port is not known")

    def read(side: Side, rest: str, admin: Endpoint = admins[0]) -> dict[str, Any]:
        url = f"http://{admin.authority}/api/apps/{side.api.app.id}/{rest}"
        with urllib.request.urlopen(url) as response:
            answer: dict[str, Any] = json.load(response)
        assert answer["complete"] is True
        return answer

    room, user = unique("presence-room"), unique("ada")
    left.connection.sign_in(user)
    left.connection.join(room, user, {"side": "left"})
    members = f"channels/{quote(room)}/members"
    (found,) = read(left, members)["members"]
    assert (found["id"], found["info"], found["connections"]) == (user, {"side": "left"}, 1)
    assert read(right, members)["members"] == []

    def connections(side: Side) -> dict[str, dict[str, Any]]:
        answers = [read(side, "connections", admin)["connections"] for admin in admins]
        return {each["socket_id"]: each for answer in answers for each in answer}

    mine = connections(left)[left.connection.socket_id]
    assert (mine["user_id"], mine["channels"]) == (user, [room])
    assert left.connection.socket_id not in connections(right)
    assert right.connection.socket_id in connections(right)
    stats = service.see(
        lambda: read(right, "stats"),
        lambda stats: bool(stats["connections"] == len(connections(right))),
    )
    before = {name: stats[name] for name in ("connections", "channels", "users", "members")}
    service.connect("left").join(unique("presence-room"), unique("bob"))
    stats = read(right, "stats")
    assert {name: stats[name] for name in before} == before
