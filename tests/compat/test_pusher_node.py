"""Every call of the official ``pusher`` package for Node."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable

import pytest

from compat.inbox import DEADLINE
from compat.listener import Listener
from compat.scripts import Backend, Client, Refused
from compat.sdks import PUSHER_NODE
from compat.serving import COUNTED, PLAIN, App, Server

pytestmark = pytest.mark.sdk(PUSHER_NODE)

Connect = Callable[..., Client]


@pytest.mark.feature("trigger", "trigger on several channels")
def test_trigger(client: Connect, node_backend: Backend, unique: str) -> None:
    one, other = f"one-{unique}", f"other-{unique}"
    emily = client()
    emily.subscribe(one)
    emily.subscribe(other)
    assert node_backend.call("trigger", one, "price", {"cents": 1250}) == {}
    assert emily.expect(one, "price") == {"cents": 1250}
    assert node_backend.call("trigger", [one, other], "note", "plain text, not JSON") == {}
    assert emily.expect(one, "note") == "plain text, not JSON"
    assert emily.expect(other, "note") == "plain text, not JSON"


@pytest.mark.feature("trigger without one socket")
def test_trigger_leaves_out_the_given_socket(
    node: str, server: Server, client: Connect, node_backend: Backend, unique: str
) -> None:
    news = f"news-{unique}"
    sender = Client(node, server, PLAIN)
    try:
        socket_id = sender.connected()
        sender.subscribe(news)
        reader = client()
        reader.subscribe(news)
        node_backend.call("trigger", news, "first", {}, {"socket_id": socket_id})
        node_backend.call("trigger", news, "second", {})
        reader.expect(news, "first")
        sender.expect(news, "second")
        assert not sender.reports.waiting(on=news, event="first")
    finally:
        sender.close()


@pytest.mark.feature("trigger with info")
def test_trigger_with_info(
    client: Connect, node_backend: Backend, counting_backend: Backend, unique: str
) -> None:
    room, news = f"presence-{unique}", f"news-{unique}"
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    answer = node_backend.call("trigger", [room, news], "tick", {}, {"info": "user_count"})
    assert answer == {"channels": {room: {"user_count": 1}, news: {}}}
    client(COUNTED).subscribe(news)
    answer = counting_backend.call("trigger", news, "tick", {}, {"info": "subscription_count"})
    assert answer == {"channels": {news: {"subscription_count": 1}}}


@pytest.mark.feature("trigger a batch")
def test_trigger_batch(client: Connect, node_backend: Backend, unique: str) -> None:
    news, room = f"news-{unique}", f"presence-{unique}"
    emily = client(members={room: {"user_id": "emily"}})
    emily.subscribe(news)
    emily.subscribe(room)
    batch = [
        {"channel": news, "name": "a", "data": {"n": 1}},
        {"channel": room, "name": "b", "data": {"n": 2}},
    ]
    assert node_backend.call("triggerBatch", batch) == {}
    assert emily.expect(news, "a") == {"n": 1}
    assert emily.expect(room, "b") == {"n": 2}
    batch[1]["info"] = "user_count"
    assert node_backend.call("triggerBatch", batch) == {"batch": [{}, {"user_count": 1}]}


@pytest.mark.feature("channels")
def test_channels(
    client: Connect, node_backend: Backend, counting_backend: Backend, unique: str
) -> None:
    room, news = f"presence-{unique}", f"{unique}-news"
    emily = client(members={room: {"user_id": "emily"}})
    emily.subscribe(room)
    emily.subscribe(news)
    answer = node_backend.call(
        "get", {"path": "/channels", "params": {"filter_by_prefix": room, "info": "user_count"}}
    )
    assert answer == {"channels": {room: {"user_count": 1}}}
    params = {"filter_by_prefix": unique}
    assert node_backend.call("get", {"path": "/channels", "params": params}) == {
        "channels": {news: {}}
    }
    nothing = {"filter_by_prefix": f"nothing-{unique}"}
    assert node_backend.call("get", {"path": "/channels", "params": nothing}) == {"channels": {}}
    client(COUNTED).subscribe(news)
    assert counting_backend.call("get", {"path": "/channels", "params": params}) == {
        "channels": {news: {"occupied": True, "subscription_count": 1}}
    }


@pytest.mark.feature("trigger", "channels")
def test_requests_by_path(
    client: Connect, server: Server, node_backend: Backend, unique: str
) -> None:
    """``post`` sends what no call of its own exists for, a signed query goes with any client."""
    news = f"news-{unique}"
    emily = client()
    emily.subscribe(news)
    body = {"name": "note", "channel": news, "data": '{"n":1}'}
    assert node_backend.call("post", {"path": "/events", "body": body}) == {}
    assert emily.expect(news, "note") == {"n": 1}
    path = f"/apps/{PLAIN.id}/channels"
    asked = {"method": "GET", "path": path, "params": {"filter_by_prefix": news}}
    query = node_backend.call("createSignedQueryString", asked)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", f"{path}?{query}")
        answer = connection.getresponse()
        assert json.loads(answer.read()) == {"channels": {news: {}}}


@pytest.mark.feature("channel")
def test_channel(
    client: Connect, node_backend: Backend, counting_backend: Backend, unique: str
) -> None:
    room, news, cached = f"presence-{unique}", f"news-{unique}", f"cache-{unique}"
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    client(COUNTED).subscribe(news)

    def ask(backend: Backend, channel: str, info: str = "") -> object:
        params = {"info": info} if info else {}
        return backend.call("get", {"path": f"/channels/{channel}", "params": params})

    assert ask(node_backend, room, "user_count") == {"occupied": True, "user_count": 1}
    assert ask(node_backend, news) == {"occupied": False}
    counted = {"occupied": True, "subscription_count": 1}
    assert ask(counting_backend, news, "subscription_count") == counted
    assert ask(node_backend, cached, "cache") == {"occupied": False, "cache": None}
    node_backend.call("trigger", cached, "report", {"celsius": 21})
    answer = node_backend.call("get", {"path": f"/channels/{cached}", "params": {"info": "cache"}})
    assert answer["cache"]["data"] == '{"celsius":21}'
    assert 0 < answer["cache"]["ttl"] <= 1800
    with pytest.raises(Refused) as refusal:
        ask(node_backend, news, "user_count")
    assert refusal.value.status == 400


@pytest.mark.feature("users of a channel")
def test_users(client: Connect, node_backend: Backend, unique: str) -> None:
    room = f"presence-{unique}"
    assert node_backend.call("get", {"path": f"/channels/{room}/users"}) == {"users": []}
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    assert node_backend.call("get", {"path": f"/channels/{room}/users"}) == {
        "users": [{"id": "emily"}]
    }


@pytest.mark.feature("trigger encrypted")
def test_trigger_encrypts(client: Connect, node_backend: Backend, unique: str) -> None:
    vault = f"private-encrypted-{unique}"
    emily = client()
    emily.subscribe(vault)
    assert node_backend.call("trigger", vault, "rotated", {"pin": "0000"}) == {}
    assert emily.expect(vault, "rotated") == {"pin": "0000"}


@pytest.mark.feature("send to a user")
def test_send_to_user(client: Connect, node_backend: Backend, unique: str) -> None:
    assert node_backend.call("sendToUser", unique, "invoice-ready", {"id": 1}) == {}
    emily = client(user={"id": unique})
    emily.sign_in()
    emily.subscribe(f"news-{unique}")
    assert node_backend.call("sendToUser", unique, "invoice-ready", {"id": 2}) == {}
    assert emily.expect("user", "invoice-ready") == {"id": 2}


@pytest.mark.feature("terminate connections")
def test_terminate_user_connections(client: Connect, node_backend: Backend, unique: str) -> None:
    assert node_backend.call("terminateUserConnections", unique) == {}
    emily = client(user={"id": unique})
    emily.sign_in()
    assert node_backend.call("terminateUserConnections", unique) == {}
    assert "4009" in str(emily.reports.expect(on="connection", event="error")["data"])


@pytest.mark.feature("authorize a channel")
@pytest.mark.parametrize("member", [None, {"user_id": "émile", "user_info": {"name": "É/☕"}}])
def test_authorize_channel(
    node_backend: Backend, listener: Callable[..., Listener], unique: str, member: object
) -> None:
    channel = f"{'private' if member is None else 'presence'}-{unique}"
    emile = listener()
    answer = node_backend.call("authorizeChannel", emile.socket_id, channel, member)
    subscribed = emile.subscribe_as(channel, answer)
    assert subscribed == {} or subscribed["presence"]["ids"] == ["émile"]


@pytest.mark.feature("authenticate a user")
def test_authenticate_user(
    node_backend: Backend, listener: Callable[..., Listener], unique: str
) -> None:
    user = {"id": unique, "user_info": {"name": "Lucía"}, "watchlist": []}
    emily = listener()
    answer = node_backend.call("authenticateUser", emily.socket_id, user)
    assert emily.sign_in(answer) == answer["user_data"]


@pytest.mark.feature("refusals")
def test_a_wrong_secret_is_refused(node: str, server: Server) -> None:
    impostor = Backend(node, server, App(PLAIN.id, PLAIN.key, "guessed"))
    try:
        with pytest.raises(Refused) as refusal:
            impostor.call("trigger", "news", "note", {})
    finally:
        impostor.close()
    assert refusal.value.status == 401
    assert refusal.value.body.startswith("Invalid signature: you should have sent HmacSHA256Hex(")


@pytest.mark.feature("refusals")
def test_too_much_data_is_refused(node_backend: Backend) -> None:
    with pytest.raises(Refused) as refusal:
        node_backend.call("trigger", "news", "note", "x" * 10_241)
    assert refusal.value.status == 413
