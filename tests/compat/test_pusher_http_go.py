"""Every call of ``pusher-http-go``, whose methods and members keep their names of Go here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest

from compat.listener import Listener
from compat.scripts import Caller, Client, Refused, connection_settings
from compat.sdks import GO_BACKEND, PUSHER_HTTP_GO
from compat.serving import COUNTED, PLAIN, App, Server

pytestmark = pytest.mark.sdk(PUSHER_HTTP_GO)

Connect = Callable[..., Client]


class GoBackend(Caller):
    """The program that ``make clients`` builds from ``go/main.go``."""

    def __init__(self, server: Server, app: App) -> None:
        super().__init__([str(GO_BACKEND)], connection_settings(server, app))


@pytest.fixture(scope="module")
def built() -> None:
    if not GO_BACKEND.exists():
        pytest.skip("run make clients where there is Go first")


@pytest.fixture(scope="module")
def backend(built: None, server: Server) -> Iterator[GoBackend]:
    backend = GoBackend(server, PLAIN)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def counting_backend(built: None, server: Server) -> Iterator[GoBackend]:
    backend = GoBackend(server, COUNTED)
    yield backend
    backend.close()


@pytest.mark.feature("trigger", "trigger on several channels")
def test_trigger(client: Connect, backend: GoBackend, unique: str) -> None:
    one, other = f"one-{unique}", f"other-{unique}"
    emily = client()
    emily.subscribe(one)
    emily.subscribe(other)
    backend.call("Trigger", one, "price", {"cents": 1250, "currency": "€"})
    assert emily.expect(one, "price") == {"cents": 1250, "currency": "€"}
    backend.call("TriggerMulti", [one, other], "note", "text")
    assert emily.expect(one, "note") == emily.expect(other, "note") == "text"


@pytest.mark.feature("trigger without one socket")
@pytest.mark.parametrize("way", ["TriggerWithParams", "TriggerExclusive"])
def test_trigger_leaves_out_the_given_socket(
    listener: Callable[..., Listener], backend: GoBackend, unique: str, way: str
) -> None:
    news = f"news-{unique}"
    sender, reader = listener(), listener()
    for someone in (sender, reader):
        someone.subscribe(news, "first", "second")
    own = sender.socket_id
    backend.call(way, news, "first", {}, own if way == "TriggerExclusive" else {"SocketID": own})
    backend.call("Trigger", news, "second", {})
    reader.expect(news, "first")
    sender.expect(news, "second")
    assert not sender.reports.waiting(on=news, event="first")


@pytest.mark.feature("trigger with info")
def test_trigger_with_info(
    client: Connect, backend: GoBackend, counting_backend: GoBackend, unique: str
) -> None:
    room, news = f"presence-{unique}", f"news-{unique}"
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    asked = {"Info": "user_count"}
    answer = backend.call("TriggerMultiWithParams", [room, news], "tick", {}, asked)
    assert answer == {"channels": {room: {"user_count": 1}, news: {}}}
    client(COUNTED).subscribe(news)
    asked = {"Info": "subscription_count"}
    answer = counting_backend.call("TriggerWithParams", news, "tick", {}, asked)
    assert answer == {"channels": {news: {"subscription_count": 1}}}


@pytest.mark.feature("trigger a batch")
def test_trigger_batch(client: Connect, backend: GoBackend, unique: str) -> None:
    news, room = f"news-{unique}", f"presence-{unique}"
    emily = client(members={room: {"user_id": "emily"}})
    emily.subscribe(news)
    emily.subscribe(room)
    batch = [
        {"Channel": news, "Name": "a", "Data": {"n": 1}},
        {"Channel": room, "Name": "b", "Data": {"n": 2}},
    ]
    assert backend.call("TriggerBatch", batch) == {"batch": None}
    assert emily.expect(news, "a") == {"n": 1}
    assert emily.expect(room, "b") == {"n": 2}
    batch[1]["Info"] = "user_count"
    assert backend.call("TriggerBatch", batch) == {"batch": [{}, {"user_count": 1}]}


@pytest.mark.feature("trigger encrypted")
def test_trigger_encrypts(client: Connect, backend: GoBackend, unique: str) -> None:
    vault = f"private-encrypted-{unique}"
    emily = client()
    emily.subscribe(vault)
    backend.call("Trigger", vault, "rotated", {"pin": "0000"})
    assert emily.expect(vault, "rotated") == {"pin": "0000"}
    backend.call("TriggerBatch", [{"Channel": vault, "Name": "rotated", "Data": {"pin": "1111"}}])
    assert emily.expect(vault, "rotated") == {"pin": "1111"}


@pytest.mark.feature("channels")
def test_channels(client: Connect, backend: GoBackend, unique: str) -> None:
    room = f"presence-{unique}"
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    asked = {"FilterByPrefix": room, "Info": "user_count"}
    assert backend.call("Channels", asked) == {"channels": {room: {"user_count": 1}}}
    nothing = {"FilterByPrefix": f"nothing-{unique}"}
    assert backend.call("Channels", nothing) == {"channels": {}}


@pytest.mark.feature("channel")
def test_channel(
    client: Connect, backend: GoBackend, counting_backend: GoBackend, unique: str
) -> None:
    """The library leaves out what is zero or false."""
    room, news = f"presence-{unique}", f"news-{unique}"
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    client(COUNTED).subscribe(news)
    known = backend.call("Channel", room, {"Info": "user_count"})
    assert known == {"Name": room, "occupied": True, "user_count": 1}
    known = counting_backend.call("Channel", news, {"Info": "subscription_count"})
    assert known == {"Name": news, "occupied": True, "subscription_count": 1}
    assert backend.call("Channel", news, {}) == {"Name": news}
    with pytest.raises(Refused, match="Status Code: 400 - "):
        backend.call("Channel", news, {"Info": "user_count"})


@pytest.mark.feature("users of a channel")
def test_users(client: Connect, backend: GoBackend, unique: str) -> None:
    room = f"presence-{unique}"
    assert backend.call("GetChannelUsers", room) == {"users": []}
    client(members={room: {"user_id": "emily"}}).subscribe(room)
    assert backend.call("GetChannelUsers", room) == {"users": [{"id": "emily"}]}


@pytest.mark.feature("send to a user")
def test_send_to_user(client: Connect, backend: GoBackend, unique: str) -> None:
    backend.call("SendToUser", unique, "invoice-ready", {"id": 1})
    emily = client(user={"id": unique})
    emily.sign_in()
    # Answered after the subscription to the user's own channel, which the client asks for first.
    emily.subscribe(f"news-{unique}")
    backend.call("SendToUser", unique, "invoice-ready", {"id": 2})
    assert emily.expect("user", "invoice-ready") == {"id": 2}


@pytest.mark.feature("authorize a channel")
def test_authorize_channel(
    listener: Callable[..., Listener], backend: GoBackend, unique: str
) -> None:
    private, room = f"private-{unique}", f"presence-{unique}"
    emile = listener()
    prepared = backend.call("AuthorizePrivateChannel", request(emile, private))
    assert emile.subscribe_as(private, prepared) == {}
    member = {"user_id": "émile", "user_info": {"name": "É/☕ <b>"}}
    prepared = backend.call("AuthorizePresenceChannel", request(emile, room), member)
    roster = emile.subscribe_as(room, prepared)
    assert roster["presence"]["hash"] == {"émile": {"name": "É/☕ <b>"}}


def request(someone: Listener, channel: str) -> str:
    """The body with which a client asks an auth endpoint."""
    return urlencode({"socket_id": someone.socket_id, "channel_name": channel})


@pytest.mark.feature("authenticate a user")
def test_authenticate_user(
    listener: Callable[..., Listener], backend: GoBackend, unique: str
) -> None:
    user = {"id": unique, "user_info": {"name": "Lucía"}, "watchlist": []}
    emily = listener()
    body = urlencode({"socket_id": emily.socket_id})
    prepared = backend.call("AuthenticateUser", body, user)
    assert emily.sign_in(prepared) == prepared["user_data"]


@pytest.mark.feature("refusals")
def test_a_wrong_secret_is_refused(built: None, server: Server) -> None:
    impostor = GoBackend(server, App(PLAIN.id, PLAIN.key, "guessed"))
    try:
        with pytest.raises(Refused, match="Status Code: 401 - Invalid signature: "):
            impostor.call("Trigger", "news", "note", {})
    finally:
        impostor.close()


@pytest.mark.feature("refusals")
def test_too_much_data_is_refused(backend: GoBackend) -> None:
    with pytest.raises(Refused, match="Status Code: 413 - "):
        backend.call("Trigger", "news", "note", "x" * 10_241)


@pytest.mark.not_offered("terminate connections", "it has no `TerminateUserConnections`")
def test_it_terminates_no_connections(backend: GoBackend) -> None:
    assert backend.call("offers", "SendToUser") is True
    assert backend.call("offers", "TerminateUserConnections") is False
