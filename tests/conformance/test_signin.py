"""Statements 78 to 92: users who signed in, what reaches them, and how they are sent away."""

from __future__ import annotations

import pytest

from conformance.harness.apps import AUTHORIZATION_TIMEOUT
from conformance.harness.connection import MEMBER_REMOVED, SUCCEEDED, Connection
from conformance.harness.names import unique
from conformance.harness.service import Service
from conformance.harness.signing import compact, hmac_hex, user_string
from conformance.harness.websocket import DEADLINE

FORMAT = "Invalid format: auth must have the format key:signature"
UNAUTHORIZED = "Connection not authorized within timeout"


def to_user(user: str) -> str:
    return f"#server-to-user-{user}"


@pytest.mark.parametrize(
    "template",
    [
        '{"id":"USER"}',
        '{ "id" : "USER", "user_info" : { "name" : "Zoë ☕" } }',
        r'{"id":"USER","user_info":{"path":"a\/b","name":"Zo\u00eb"}}',
        '{"id":"USER","user_info":null,"watchlist":[],"colour":"blue"}',
    ],
)
def test_078_sign_in(connection: Connection, template: str) -> None:
    user_data = template.replace("USER", unique("ada"))
    connection.request_sign_in(user_data)
    connection.expect_object("pusher:signin_success", None, {"user_data": user_data})
    connection.expect_nothing()


def test_079_bad_sign_in_is_refused(service: Service) -> None:
    connection, other = service.connect(), service.app("other")
    user_data = compact({"id": unique("ada")})
    string = user_string(connection.socket_id, user_data)
    key = connection.app.key
    expected = f"Invalid signature: Expected HMAC SHA256 hex digest of {string}, but got 00ff"
    foreign = f"Invalid key in subscription auth data: '{other.key}'"
    foreign_auth = f"{other.key}:{hmac_hex(other.secret, string)}"
    auth = connection.user_auth(user_data)
    cases: list[tuple[object, str | None]] = [
        ({"auth": f"{key}:00ff", "user_data": user_data}, expected),
        ({"auth": foreign_auth, "user_data": user_data}, foreign),
        ({"auth": "nocolon", "user_data": user_data}, FORMAT),
        ({"user_data": user_data}, "Missing parameter: data.auth"),
        ({"auth": None, "user_data": user_data}, "Missing parameter: data.auth"),
        ({"auth": auth}, "Missing parameter: data.user_data"),
        ({"auth": auth, "user_data": {"id": "ada"}}, None),
        ("x", "Expected parameter data to be a hash"),
        ([], "Expected parameter data to be a hash"),
    ]
    for data, message in cases:
        connection.send("pusher:signin", data)
        connection.expect_error(None, message)
    connection.request_sign_in(user_data)
    connection.expect_event("pusher:signin_success")


@pytest.mark.parametrize(
    "user_data",
    [
        "{}",
        '{"id":""}',
        '{"id":7}',
        '{"id":null}',
        '{"user_id":"ada"}',
        "[]",
        "ada",
        '{"id":"a b"}',
        '{"id":"auth0|5f7c"}',
        '{"id":"é"}',
        f'{{"id":"{"u" * 129}"}}',
        '{"id":"ada","user_info":true}',
        '{"id":"ada","watchlist":"bob"}',
        '{"id":"ada","watchlist":[7]}',
    ],
)
def test_080_bad_user_data_is_refused(connection: Connection, user_data: str) -> None:
    connection.request_sign_in(user_data)
    connection.expect_error()
    connection.sign_in("u" * 128)


def test_081_one_identity_per_connection(service: Service) -> None:
    connection, first, second = service.connect(), unique("ada"), unique("bob")
    connection.sign_in(first)
    connection.request_sign_in(compact({"id": second}))
    connection.expect_error()
    connection.request_subscribe(to_user(second))
    connection.expect_refusal(to_user(second))
    connection.subscribe(to_user(first))
    service.api().publish("hello", [to_user(first), to_user(second)], "1")
    connection.expect_event("hello", to_user(first), "1")
    connection.expect_nothing()


def test_082_same_identity_again(connection: Connection) -> None:
    user = unique("ada")
    connection.sign_in(user)
    connection.sign_in(user, user_info={"name": "Ada"})
    connection.expect_nothing()


@pytest.mark.parametrize("data", [{"auth": ""}, {}])
def test_083_own_user_channel(connection: Connection, data: dict[str, str]) -> None:
    user = unique("ada")
    connection.sign_in(user)
    connection.send("pusher:subscribe", {**data, "channel": to_user(user)})
    connection.expect_event(SUCCEEDED, to_user(user), "{}")
    connection.expect_nothing()


def test_084_foreign_user_channel(service: Service) -> None:
    user = unique("ada")
    signed_in, anonymous = service.connect(), service.connect()
    signed_in.sign_in(unique("bob"))
    for connection in (signed_in, anonymous):
        for channel in (to_user(user), to_user(""), "#other"):
            connection.request_subscribe(channel)
            connection.expect_refusal(channel)


def test_085_user_channel_is_not_joined_by_the_server(service: Service) -> None:
    connection, user = service.connect(), unique("ada")
    connection.sign_in(user)
    connection.expect_nothing()
    service.api().publish("hello", to_user(user), "1")
    connection.expect_nothing()
    connection.subscribe(to_user(user))
    connection.unsubscribe(to_user(user))
    connection.expect_nothing()
    connection.subscribe(to_user(user))


def test_086_send_to_user(service: Service) -> None:
    user, api = unique("ada"), service.api()
    first, second, other, named = (service.connect() for _ in range(4))
    for connection in (first, second):
        connection.sign_in(user)
        connection.subscribe(to_user(user))
    stranger = unique("bob")
    other.sign_in(stranger)
    other.subscribe(to_user(stranger))
    named.join(unique("presence-room"), user)
    api.publish("invoice", to_user(user), '{"id":99}')
    for connection in (first, second):
        connection.expect_event("invoice", to_user(user), '{"id":99}')
    for connection in (first, second, other, named):
        connection.expect_nothing()
    api.publish("invoice", to_user(unique("nobody")), "{}")


@pytest.mark.parametrize("channel", ["#other", "#server-to-user-", "#server-to-user-a b", "#"])
def test_087_publish_to_other_server_channel(service: Service, channel: str) -> None:
    service.api().trigger("hello", channel, "{}").refused(400)


@pytest.mark.parametrize("app", ["main", "long_grace"])
def test_088_terminate(service: Service, app: str) -> None:
    """Terminated is not lost: no grace delays the removal."""
    user, room = unique("ada"), unique("presence-room")
    watcher, first, second, named, other = (service.connect(app) for _ in range(5))
    watcher.join(room, "w")
    first.sign_in(user)
    first.subscribe(room)
    second.sign_in(user)
    named.join(unique("presence-room"), user)
    other.sign_in(unique("bob"))
    service.api(app).terminate(user)
    first.expect_closed(4009)
    second.expect_closed(4009)
    watcher.expect_event("pusher_internal:member_added", room)
    watcher.expect_object(MEMBER_REMOVED, room, {"user_id": user})
    for connection in (watcher, named, other):
        connection.expect_nothing()


def test_089_terminated_connection(service: Service) -> None:
    user, connection = unique("ada"), service.connect()
    connection.sign_in(user)
    service.api().terminate(user)
    connection.next_error(4009)
    assert connection.expect_closed(4009).reason


def test_090_terminate_unknown_user(service: Service) -> None:
    answer = service.api().post(f"users/{unique('nobody')}/terminate_connections", {})
    assert answer.accepted() == {}


def test_091_terminated_user_may_return(service: Service) -> None:
    user, connection = unique("ada"), service.connect()
    connection.sign_in(user)
    service.api().terminate(user)
    connection.expect_closed(4009)
    back = service.connect()
    back.sign_in(user)
    back.subscribe(to_user(user))
    back.expect_nothing()


def test_092_authorized_connections(service: Service) -> None:
    signed_in, private, presence, refused, public, idle = (
        service.connect("authorized") for _ in range(6)
    )
    signed_in.sign_in(unique("ada"))
    channel = unique("private-orders")
    private.subscribe(channel)
    private.unsubscribe(channel)
    presence.join(unique("presence-room"), "ada")
    refused.send("pusher:subscribe", {"channel": channel, "auth": "k:00ff"})
    refused.expect_refusal(channel)
    public.subscribe(unique("orders"))
    for connection in (refused, public, idle):
        timeout = AUTHORIZATION_TIMEOUT + DEADLINE
        connection.expect_closed(4009, UNAUTHORIZED, timeout=timeout)
    for connection in (signed_in, private, presence):
        connection.expect_nothing()
