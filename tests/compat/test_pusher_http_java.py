"""Every call of ``pusher-http-java``, which takes no answer but 200 for a success."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from compat.listener import Listener
from compat.scripts import Client, JavaBackend, Refused
from compat.sdks import PUSHER_HTTP_JAVA
from compat.serving import PLAIN, App, Server

pytestmark = pytest.mark.sdk(PUSHER_HTTP_JAVA)

Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def backend(java: list[str], server: Server) -> Iterator[JavaBackend]:
    backend = JavaBackend(java, server, PLAIN)
    yield backend
    backend.close()


@pytest.mark.feature("trigger", "trigger on several channels")
def test_trigger(client: Connect, backend: JavaBackend, unique: str) -> None:
    one, other = f"one-{unique}", f"other-{unique}"
    emily = client()
    emily.subscribe(one)
    emily.subscribe(other)
    assert backend.call("trigger", one, "price", {"cents": 1250, "currency": "€"}) == {}
    assert emily.expect(one, "price") == {"cents": 1250, "currency": "€"}
    assert backend.call("trigger", [one, other], "note", "text") == {}
    assert emily.expect(one, "note") == emily.expect(other, "note") == "text"


@pytest.mark.feature("trigger without one socket")
def test_trigger_leaves_out_the_given_socket(
    listener: Callable[..., Listener], backend: JavaBackend, unique: str
) -> None:
    news = f"news-{unique}"
    sender, reader = listener(), listener()
    for someone in (sender, reader):
        someone.subscribe(news, "first", "second")
    backend.call("trigger", news, "first", {}, sender.socket_id)
    backend.call("trigger", news, "second", {})
    reader.expect(news, "first")
    sender.expect(news, "second")
    assert not sender.reports.waiting(on=news, event="first")


@pytest.mark.feature("trigger a batch")
def test_trigger_batch(client: Connect, backend: JavaBackend, unique: str) -> None:
    news, other = f"news-{unique}", f"other-{unique}"
    emily = client()
    emily.subscribe(news)
    emily.subscribe(other)
    batch = [
        {"channel": news, "name": "a", "data": {"n": 1}},
        {"channel": other, "name": "b", "data": {"n": 2}},
    ]
    assert backend.call("triggerBatch", batch) == {}
    assert emily.expect(news, "a") == {"n": 1}
    assert emily.expect(other, "b") == {"n": 2}


@pytest.mark.feature("trigger encrypted")
def test_trigger_encrypts(client: Connect, backend: JavaBackend, unique: str) -> None:
    vault = f"private-encrypted-{unique}"
    emily = client()
    emily.subscribe(vault)
    assert backend.call("trigger", vault, "rotated", {"pin": "0000"}) == {}
    assert emily.expect(vault, "rotated") == {"pin": "0000"}


@pytest.mark.feature("channels", "channel", "users of a channel")
def test_what_is_known_of_channels(client: Connect, backend: JavaBackend, unique: str) -> None:
    room = f"presence-{unique}"
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    asked = {"filter_by_prefix": room, "info": "user_count"}
    assert backend.call("get", "/channels", asked) == {"channels": {room: {"user_count": 1}}}
    known = backend.call("get", f"/channels/{room}", {"info": "user_count"})
    assert known == {"occupied": True, "user_count": 1}
    assert backend.call("get", f"/channels/{room}/users", {}) == {"users": [{"id": "emily"}]}
    assert backend.call("get", f"/channels/nothing-{unique}", {}) == {"occupied": False}


@pytest.mark.feature("authorize a channel")
def test_authenticate(listener: Callable[..., Listener], backend: JavaBackend, unique: str) -> None:
    private, room = f"private-{unique}", f"presence-{unique}"
    emily = listener()
    prepared = backend.call("authenticate", emily.socket_id, private)
    assert emily.subscribe_as(private, prepared) == {}
    member = {"user_id": "émile", "user_info": {"name": "É/☕"}}
    prepared = backend.call("authenticate", emily.socket_id, room, member)
    roster = emily.subscribe_as(room, prepared)
    assert roster["presence"]["hash"] == {"émile": {"name": "É/☕"}}


@pytest.mark.feature("refusals")
def test_a_wrong_secret_is_refused(java: list[str], server: Server) -> None:
    impostor = JavaBackend(java, server, App(PLAIN.id, PLAIN.key, "guessed"))
    try:
        with pytest.raises(Refused, match="AUTHENTICATION_ERROR") as refusal:
            impostor.call("trigger", "news", "note", {})
    finally:
        impostor.close()
    assert refusal.value.status == 401
    assert refusal.value.body.startswith("Invalid signature: ")


@pytest.mark.feature("refusals")
def test_too_much_data_is_refused(backend: JavaBackend) -> None:
    with pytest.raises(Refused, match=r"MESSAGE_QUOTA_EXCEEDED|UNKNOWN_ERROR") as refusal:
        backend.call("trigger", "news", "note", "x" * 10_241)
    assert refusal.value.status == 413


@pytest.mark.not_offered("trigger with info", "`trigger` has no such argument")
def test_trigger_asks_for_no_info(backend: JavaBackend) -> None:
    """Its arguments are the channels, the event, the data and a socket id."""
    assert backend.call("mostArguments", "trigger") == 4


@pytest.mark.not_offered("send to a user", "it has no `sendToUser`")
@pytest.mark.not_offered("terminate connections", "it has no `terminateUserConnections`")
@pytest.mark.not_offered("authenticate a user", "it has no `authenticateUser`")
def test_it_knows_no_users(backend: JavaBackend) -> None:
    assert backend.call("offers", "trigger") is True
    for name in ("sendToUser", "terminateUserConnections", "authenticateUser"):
        assert backend.call("offers", name) is False
