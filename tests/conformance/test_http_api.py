"""Statements 125 and 131 to 144: publishing, and what the API tells."""

from __future__ import annotations

import time

import pytest

from conformance.harness.connection import MEMBER_ADDED, SUBSCRIPTION_COUNT
from conformance.harness.envelope import Event
from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.signing import Parameters

RESERVED = "The 'pusher' namespace is reserved for internal usage"
TOO_LARGE = (
    "The data content of this event exceeds the allowed maximum (10240 bytes)."
    " See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info"
)


def test_125_trigger_answer(service: Service) -> None:
    answer = service.api().trigger("news", unique("orders"), "1")
    assert answer.accepted() == {}
    assert answer.body == b"{}"
    assert answer.headers["content-type"].split(";")[0] == "application/json"


def test_131_number_of_channels(service: Service) -> None:
    api, channel, connection = service.api(), unique("orders"), service.connect()
    connection.subscribe(channel)
    event: dict[str, object] = {"name": "news", "data": "1"}
    others = [unique("orders") for _ in range(100)]
    accepted: list[dict[str, object]] = [
        {"channel": channel},
        {"channels": [channel]},
        {"channels": [*others[:99], channel]},
        {"channels": [channel, others[0], channel]},
        {"channel": channel, "channels": [channel]},
    ]
    for target in accepted:
        assert api.post("events", event | target).accepted() == {}
        connection.expect_event("news", channel, "1")
        connection.expect_nothing()
    refused: list[dict[str, object]] = [
        {"channels": [*others, channel]},
        {"channels": []},
        {},
        {"channels": channel},
        {"channel": 7},
    ]
    for target in refused:
        api.post("events", event | target).refused(400)
    connection.expect_nothing()


@pytest.mark.parametrize("filler", ["x", "é", "☕", '"', "\\"])
def test_132_size_of_data(service: Service, filler: str) -> None:
    api, channel, connection = service.api(), unique("orders"), service.connect()
    connection.subscribe(channel)
    number = 10_240 // len(filler.encode())
    largest = filler * number + "x" * (10_240 - number * len(filler.encode()))
    api.publish("news", channel, largest)
    connection.expect_event("news", channel, largest)
    api.trigger("news", channel, largest + "x").refused(413, TOO_LARGE)
    connection.expect_nothing()


def test_133_names_of_events(service: Service) -> None:
    api, channel, connection = service.api(), unique("orders"), service.connect()
    connection.subscribe(channel)
    text = "Expected name parameter to be a string"
    api.post("events", {"channel": channel, "data": "1"}).refused(400, text)
    wrong: list[object] = [None, 7, {}, []]
    for value in wrong:
        api.trigger(value, channel, "1").refused(400, text)
    for reserved in ("pusher:x", "pusher_internal:x", "pusher-x"):
        api.trigger(reserved, channel, "1").refused(400, RESERVED)
    api.trigger("n" * 201, channel, "1").refused(400)
    connection.expect_nothing()
    for name in ("App\\Events\\X", "n" * 200, "client-x", "é ☕", ".x"):
        api.publish(name, channel, "1")
        connection.expect_event(name, channel, "1")


@pytest.mark.parametrize("name", ["a b", "a/b", "a:b", "é", "", "#x", "x" * 165])
def test_134_illegal_channel(service: Service, name: str) -> None:
    api = service.api()
    legal, connection = unique("orders"), service.connect()
    connection.subscribe(legal)
    api.post("events", {"name": "news", "channel": name, "data": "1"}).refused(
        400, "Invalid channel name"
    )
    api.trigger("news", [legal, name], "1").refused(400, "Invalid channel name")
    connection.expect_nothing()


def test_135_excluded_connection(service: Service) -> None:
    api, channel = service.api(), unique("orders")
    excluded, other = service.connect(), service.connect()
    excluded.subscribe(channel)
    other.subscribe(channel)
    api.publish("news", channel, "1", socket_id=excluded.socket_id)
    other.expect_event("news", channel, "1")
    excluded.expect_nothing()
    for socket_id in ("1.1", "nonsense", "", None):
        api.publish("news", channel, "2", socket_id=socket_id)
        for connection in (excluded, other):
            connection.expect_event("news", channel, "2")


def test_136_attributes_of_a_trigger(service: Service) -> None:
    api, channel, room = service.api("counted"), unique("orders"), unique("presence-room")
    connections = [service.connect("counted") for _ in range(3)]
    for connection, user in zip(connections, ("ada", "bob", "bob"), strict=True):
        connection.subscribe(channel)
        connection.expect_event(SUBSCRIPTION_COUNT, channel)
        connection.subscribe(room, f'{{"user_id":"{user}"}}')
    vacant = unique("orders")
    targets = [channel, room, vacant, channel]
    answer = api.trigger("news", targets, "1", info="user_count,subscription_count").accepted()
    assert answer.keys() == {"channels"}
    counts = answer["channels"]
    assert counts[channel] == {"subscription_count": 3}
    assert counts[room]["user_count"] == 2
    assert counts[vacant] == {"subscription_count": 0}
    assert counts.keys() == {channel, room, vacant}
    answer = api.trigger("news", [channel, room], "1", info="user_count").accepted()
    assert answer == {"channels": {channel: {}, room: {"user_count": 2}}}
    api.trigger("news", channel, "1", info="colour").refused(400)


def test_137_batch(service: Service) -> None:
    """Order is kept within a channel; a batch may overtake itself from one channel to another."""
    api, channel, room = service.api(), unique("orders"), unique("presence-room")
    connection = service.connect()
    connection.subscribe(channel)
    connection.join(room, "ada")

    def event(number: int, **members: object) -> dict[str, object]:
        return {"name": "news", "channel": channel, "data": str(number), **members}

    ten = [event(number) for number in range(10)]
    assert api.post("batch_events", {"batch": ten}).accepted() == {}
    for number in range(10):
        connection.expect_event("news", channel, str(number))
    api.post("batch_events", {"batch": [*ten, event(10)]}).refused(400)
    api.post("batch_events", {"batch": {}}).refused(400)
    api.post("batch_events", {}).refused(400)
    answer = api.post(
        "batch_events",
        {"batch": [event(0), event(1, channel=room, info="user_count"), event(2)]},
    )
    assert answer.accepted() == {"batch": [{}, {"user_count": 1}, {}]}
    events = [connection.receive() for _ in range(3)]
    told = {(event.channel, event.data) for event in events if isinstance(event, Event)}
    assert told == {(channel, "0"), (room, "1"), (channel, "2")}
    assert events.index(Event("news", "0", channel)) < events.index(Event("news", "2", channel))
    for bad, status in (
        (event(1, name=7), 400),
        (event(1, channel="a b"), 400),
        (event(1, channel=None), 400),
        (event(1, data="x" * 10_241), 413),
    ):
        api.post("batch_events", {"batch": [event(0), bad]}).refused(status)
    excluded = event(0, socket_id=connection.socket_id)
    assert api.post("batch_events", {"batch": [excluded]}).accepted() == {}
    connection.expect_nothing()


def test_138_trigger_by_query(service: Service) -> None:
    api, channels, connection = service.api(), [unique("a"), unique("b")], service.connect()
    for channel in channels:
        connection.subscribe(channel)
    parameters: Parameters = [("name", "n"), ("data", "hello world")]
    parameters += [("channels[]", channel) for channel in channels]
    path = api.path("events")
    signed = api.sign("POST", path, parameters)
    plain = "&".join(f"{name}={value}" for name, value in signed).replace("hello world", "{}")
    for query in (signed, plain.format("hello%20world"), plain.format("hello+world")):
        assert api.send("POST", path, query).accepted() == {}
        for channel in channels:
            connection.expect_event("n", channel, "hello world")
        connection.expect_nothing()


def test_139_list_of_channels(service: Service) -> None:
    assert service.api("idle").get("channels").accepted() == {"channels": {}}
    api, stem = service.api(), unique("list")
    channels = [f"{stem}-a", f"private-{stem}", f"presence-{stem}"]
    first, second, user = service.connect(), service.connect(), unique("ada")
    first.sign_in(user)
    first.subscribe(f"#server-to-user-{user}")
    for channel in channels:
        first.subscribe(channel)
    second.join(f"presence-{stem}", "bob")
    first.expect_event(MEMBER_ADDED, f"presence-{stem}")
    listed = api.get("channels").accepted()["channels"]
    assert {channel: listed[channel] for channel in channels} == {name: {} for name in channels}
    assert not any(channel.startswith("#") for channel in listed)

    def filtered(prefix: str, **parameters: str) -> object:
        return api.get("channels", filter_by_prefix=prefix, **parameters).accepted()["channels"]

    assert filtered(stem) == {f"{stem}-a": {}}
    assert filtered(f"private-{stem}") == {f"private-{stem}": {}}
    assert filtered(f"presence-{stem}", info="user_count") == {
        f"presence-{stem}": {"user_count": 2}
    }
    assert filtered(unique("none")) == {}
    api.get("channels", info="user_count").refused(400)
    api.get("channels", info="user_count", filter_by_prefix="private-").refused(400)
    api.get("channels", info="colour").refused(400)
    first.unsubscribe(f"{stem}-a")
    first.expect_nothing()
    assert filtered(stem) == {}


def test_140_one_channel(service: Service) -> None:
    api, room, channel = service.api(), unique("presence-room"), unique("orders")
    assert api.get(f"channels/{channel}").accepted() == {"occupied": False}
    answer = api.get(f"channels/{room}", info="user_count").accepted()
    assert answer == {"occupied": False, "user_count": 0}
    for user in ("ada", "bob", "bob"):
        service.connect().join(room, user)
    service.connect().subscribe(channel)
    assert api.get(f"channels/{channel}").accepted() == {"occupied": True}
    answer = api.get(f"channels/{room}", info="user_count").accepted()
    assert answer == {"occupied": True, "user_count": 2}
    api.get(f"channels/{channel}", info="user_count").refused(400)
    api.get(f"channels/{channel}", info="subscription_count").refused(400)
    api.get(f"channels/{channel}", info="colour").refused(400)
    api.get("channels/a%20b").refused(400)

    api = service.api("counted")
    for _ in range(2):
        service.connect("counted").subscribe(channel)
    answer = api.get(f"channels/{channel}", info="subscription_count").accepted()
    assert answer == {"occupied": True, "subscription_count": 2}
    api.get(f"channels/{room}", info="subscription_count").refused(400)


def test_141_cached_event(service: Service) -> None:
    api, channel = service.api(), unique("cache-x")

    def cache() -> dict[str, object]:
        return api.get(f"channels/{channel}", info="cache").accepted()

    assert cache() == {"occupied": False, "cache": None}
    data, before = '{"temp_c": 21, "é": 1}', time.monotonic()
    api.publish("report", channel, data)
    found = cache()["cache"]
    assert isinstance(found, dict)
    assert found.keys() == {"data", "ttl"}
    assert found["data"] == data
    assert type(found["ttl"]) is int
    assert 1800 - (time.monotonic() - before) - 1 <= found["ttl"] <= 1800
    api.get(f"channels/{unique('orders')}", info="cache").refused(400)
    api.get(f"channels/{unique('private-orders')}", info="cache").refused(400)


def test_142_users_of_a_channel(service: Service) -> None:
    api, room = service.api(), unique("presence-room")
    assert api.get(f"channels/{room}/users").accepted() == {"users": []}
    for user in ("ada", 10, 10, "bob@example.com"):
        service.connect().join(room, user, {"name": "x"})
    answer = api.get(f"channels/{room}/users").accepted()
    assert answer.keys() == {"users"}
    ids = [user["id"] for user in answer["users"]]
    assert sorted(ids) == ["10", "ada", "bob@example.com"]
    assert all(user.keys() == {"id"} for user in answer["users"])
    api.get(f"channels/{unique('orders')}/users").refused(400)
    api.get(f"channels/{room}/users", filter="x").refused(
        400, "The following query string parameters are extraneous: filter"
    )


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("body", [b"{}", b""])
def test_143_terminate_paths(service: Service, prefixed: bool, body: bytes) -> None:
    api, user, connection = service.api(), unique("ada@x,y;z=1"), service.connect()
    connection.sign_in(user)
    escaped = user.replace("@", "%40").replace(",", "%2C")
    rest = f"users/{escaped}/terminate_connections"
    path = api.path(rest) if prefixed else f"/{rest}"
    answer = api.send("POST", path, api.sign("POST", path, [], body), body)
    assert answer.accepted() == {}
    connection.expect_closed(4009)


def test_144_plain_errors_and_keep_alive(service: Service) -> None:
    api = service.api()
    api.get("channels").accepted()
    kept = api.connection.sock
    assert kept is not None
    for number in range(100):
        if number % 10 == 0:
            api.get("channels", info="user_count").refused(400)
        elif number % 10 == 1:
            api.send("GET", api.path("channels"), "").refused(401)
        elif number % 10 == 2:
            api.get("nowhere").refused(404)
        elif number % 2:
            api.trigger("news", unique("orders"), "1").accepted()
        else:
            api.get("channels").accepted()
        assert api.connection.sock is kept, "the server closed a connection to be kept alive"
    for body in (b"{", b"[]", b"null", b"7", b'"x"', b"\xff"):
        api.post_bytes("events", body).refused(400)
