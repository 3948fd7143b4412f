"""The JSON reads show what is, for one application at a time, in pages."""

from __future__ import annotations

import time

import pytest

from admin.conftest import APPS
from admin.reader import Reader
from conformance.harness.service import Service, eventually

MAIN, OTHER, PATIENT = APPS["main"], APPS["other"], APPS["patient"]


def test_stats_count_connections_channels_users_and_members(
    service: Service, reader: Reader
) -> None:
    ada, bob, spectator = service.connect(), service.connect(), service.connect()
    ada.sign_in("ada")
    ada.join("presence-room", "ada")
    ada.join("presence-hall", "ada")
    bob.join("presence-room", "bob")
    bob.subscribe("news")
    spectator.subscribe("news")

    assert reader.read(MAIN, "stats") == {
        "connections": 3,
        "channels": 3,
        "users": 1,
        "members": 3,
        "complete": True,
    }


def test_stats_of_an_idle_app_are_zero(reader: Reader) -> None:
    assert reader.read(OTHER, "stats") == {
        "connections": 0,
        "channels": 0,
        "users": 0,
        "members": 0,
        "complete": True,
    }


def test_connections_say_who_is_where(service: Service, reader: Reader) -> None:
    before = time.time()
    ada, anonymous = service.connect(), service.connect()
    ada.sign_in("ada")
    ada.join("presence-room", "ada")
    ada.subscribe("news")

    answer = reader.read(MAIN, "connections")

    assert answer["complete"] is True
    assert "next" not in answer
    found = {item["socket_id"]: item for item in answer["connections"]}
    assert set(found) == {ada.socket_id, anonymous.socket_id}
    since = found[ada.socket_id].pop("since")
    assert before - 0.001 <= since <= time.time()
    assert since == round(since, 3)
    assert found[ada.socket_id] == {
        "socket_id": ada.socket_id,
        "user_id": "ada",
        "channels": ["presence-room", "news"],
        "address": "127.0.0.1",
        "client": "js 8.6.0",
    }
    assert found[anonymous.socket_id]["user_id"] is None
    assert found[anonymous.socket_id]["channels"] == []


def test_members_say_who_is_in_a_presence_channel(service: Service, reader: Reader) -> None:
    before = time.time()
    phone, laptop, bob = service.connect(), service.connect(), service.connect()
    phone.join("presence-room", "ada", {"name": "Ada"})
    laptop.join("presence-room", "ada", {"name": "Ada"})
    bob.join("presence-room", "bob")

    answer = reader.members(MAIN, "presence-room")

    assert answer["complete"] is True
    assert isinstance(answer["revision"], int)
    assert answer["revision"] > 0
    ada, other = answer["members"]
    assert before - 0.001 <= ada.pop("since") <= other.pop("since") <= time.time()
    assert ada == {"id": "ada", "info": {"name": "Ada"}, "connections": 2}
    assert other == {"id": "bob", "info": {}, "connections": 1}


def test_the_revision_rises_with_every_change(service: Service, reader: Reader) -> None:
    first, second = service.connect(), service.connect()
    first.join("presence-room", "ada")
    before = reader.members(MAIN, "presence-room")["revision"]
    second.join("presence-room", "bob")

    assert reader.members(MAIN, "presence-room")["revision"] > before


def test_a_member_whose_connection_was_lost_stays_with_no_connections(
    service: Service, reader: Reader
) -> None:
    ada, bob = service.connect("patient"), service.connect("patient")
    ada.join("presence-ward", "ada")
    bob.join("presence-ward", "bob")
    ada.reset()

    answer = eventually(
        lambda: reader.members(PATIENT, "presence-ward"),
        lambda answer: answer["members"][0]["connections"] == 0,
    )

    assert [member["id"] for member in answer["members"]] == ["ada", "bob"]
    stats = reader.read(PATIENT, "stats")
    assert stats["connections"] == 1
    assert stats["members"] >= 2


def test_a_member_who_unsubscribed_is_gone(service: Service, reader: Reader) -> None:
    ada, bob = service.connect("patient"), service.connect("patient")
    ada.join("presence-yard", "ada")
    bob.join("presence-yard", "bob")
    ada.unsubscribe("presence-yard")
    ada.fence()

    members = reader.members(PATIENT, "presence-yard")["members"]
    assert [member["id"] for member in members] == ["bob"]


def test_an_empty_presence_channel_has_no_members(reader: Reader) -> None:
    answer = reader.members(MAIN, "presence-nobody")
    assert answer == {"members": [], "revision": answer["revision"], "complete": True}


@pytest.mark.parametrize("channel", ["news", "private-news", "%23server-to-user-ada"])
def test_only_presence_channels_have_members(reader: Reader, channel: str) -> None:
    answer = reader.ask(f"/api/apps/1/channels/{channel}/members")
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert "presence channel" in answer.text


def test_a_channel_name_is_percent_decoded(service: Service, reader: Reader) -> None:
    service.connect().join("presence-a=b@c,d;e", "ada")
    answer = reader.ask("/api/apps/1/channels/presence-a%3Db%40c%2Cd%3Be/members").accepted()
    assert [member["id"] for member in answer["members"]] == ["ada"]


def test_text_from_outside_arrives_as_it_was_sent(service: Service, reader: Reader) -> None:
    info = {"name": '</script><b>"\\\u2028é\x00', "nested": [1, 2.5, None]}
    user_id = '"</script>é"'
    service.connect().join("presence-room", user_id, info)

    answer = reader.ask("/api/apps/1/channels/presence-room/members")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    (member,) = answer.accepted()["members"]
    assert (member["id"], member["info"]) == (user_id, info)


def test_apps_are_listed_without_their_keys(reader: Reader) -> None:
    answer = reader.ask("/api/apps")
    found = {app["id"]: app for app in answer.accepted()["apps"]}
    assert set(found) == {app.id for app in APPS.values()}
    assert found["1"] == {"id": "1", "enabled": True}
    assert found["4"] == {"id": "4", "enabled": False}


def test_occupied_channels_are_listed(service: Service, reader: Reader) -> None:
    ada, second = service.connect(), service.connect()
    ada.join("presence-room", "ada")
    second.join("presence-room", "ada")
    ada.subscribe("news")

    answer = reader.read(MAIN, "channels")

    assert answer == {
        "channels": [
            {"name": "news", "occupied": True, "subscriptions": 1, "users": 0},
            {"name": "presence-room", "occupied": True, "subscriptions": 2, "users": 1},
        ],
        "complete": True,
    }


def test_channels_can_be_asked_for_by_prefix(service: Service, reader: Reader) -> None:
    ada = service.connect()
    ada.join("presence-room", "ada")
    ada.subscribe("news")

    listed = reader.read(MAIN, "channels", prefix="presence-")["channels"]
    assert [channel["name"] for channel in listed] == ["presence-room"]


def test_an_app_sees_nothing_of_another(service: Service, reader: Reader) -> None:
    ada, eve = service.connect(), service.connect("other")
    ada.sign_in("ada")
    ada.join("presence-room", "ada")
    ada.subscribe("news")
    eve.join("presence-room", "eve")

    (member,) = reader.members(OTHER, "presence-room")["members"]
    assert member["id"] == "eve"
    (connection,) = reader.read(OTHER, "connections")["connections"]
    assert connection["socket_id"] == eve.socket_id
    (channel,) = reader.read(OTHER, "channels")["channels"]
    assert channel["name"] == "presence-room"
    assert reader.read(OTHER, "stats") == {
        "connections": 1,
        "channels": 1,
        "users": 0,
        "members": 1,
        "complete": True,
    }
    assert [m["id"] for m in reader.members(MAIN, "presence-room")["members"]] == ["ada"]


@pytest.mark.parametrize(
    "what", ["stats", "connections", "channels", "channels/presence-room/members"]
)
def test_an_unknown_app_is_not_found(reader: Reader, what: str) -> None:
    answer = reader.ask(f"/api/apps/no%22such/{what}")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == rb'{"error":"unknown app: no\"such"}'


def test_lists_come_in_pages(service: Service, reader: Reader) -> None:
    connections = [service.connect() for _ in range(5)]
    for number, connection in enumerate(connections):
        connection.join("presence-room", f"user {number}&=é")
        connection.subscribe(f"news-{number}")

    members = "channels/presence-room/members"
    for what, name, key, wanted in (
        ("connections", "connections", "socket_id", sorted(c.socket_id for c in connections)),
        ("channels", "channels", "name", [*(f"news-{n}" for n in range(5)), "presence-room"]),
        (members, "members", "id", [f"user {number}&=é" for number in range(5)]),
    ):
        pages = list(reader.pages(MAIN, what, name, limit=2))
        assert [item[key] for page in pages for item in page] == wanted
        assert [len(page) for page in pages[:2]] == [2, 2]


def test_the_last_page_names_no_next(service: Service, reader: Reader) -> None:
    for number in range(2):
        service.connect().join("presence-room", f"user-{number}")
    assert "next" not in reader.members(MAIN, "presence-room", limit=2)
    assert reader.members(MAIN, "presence-room", limit=1)["next"] == "user-0"


def test_who_leaves_between_two_pages_hides_nobody(service: Service, reader: Reader) -> None:
    connections = {f"user-{n}": service.connect() for n in range(4)}
    for user, connection in connections.items():
        connection.join("presence-room", user)
    first = reader.members(MAIN, "presence-room", limit=2)
    connections["user-0"].close()
    connections["user-1"].close()

    rest = reader.members(MAIN, "presence-room", limit=2, cursor=first["next"])
    assert [member["id"] for member in rest["members"]] == ["user-2", "user-3"]


@pytest.mark.parametrize("limit", ["0", "-1", "many", "", "1.5", "²"])
def test_a_limit_must_be_a_positive_integer(reader: Reader, limit: str) -> None:
    with pytest.raises(AssertionError, match="400 limit: expected an integer of at least 1"):
        reader.read(MAIN, "connections", limit=limit)


def test_a_thousand_connections_come_unless_told_otherwise(
    service: Service, reader: Reader
) -> None:
    crowd = service.connect()
    for number in range(999):
        crowd.request_subscribe(f"news-{number:04}")
    crowd.fence()
    assert "next" not in reader.read(MAIN, "channels")
    second = service.connect()
    second.subscribe("one")
    second.subscribe("two")

    answer = reader.read(MAIN, "channels")
    assert len(answer["channels"]) == 1_000
    assert answer["next"] == answer["channels"][-1]["name"] == "one"


@pytest.mark.parametrize("path", ["/api", "/api/apps/", "/api/apps/1", "/nothing"])
def test_other_paths_are_not_found(reader: Reader, path: str) -> None:
    assert reader.ask(path).status == 404
