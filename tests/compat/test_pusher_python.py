"""Every call of the official ``pusher`` package for Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pusher
import pusher.errors
import pytest

from compat.listener import Listener
from compat.scripts import MASTER_KEY, Client
from compat.sdks import PUSHER_PYTHON
from compat.serving import COUNTED, DEFAULT_APP, PLAIN, App, Server, running

pytestmark = pytest.mark.sdk(PUSHER_PYTHON)

Listen = Callable[..., Listener]


def backend_of(server: Server, app: App) -> Any:
    return pusher.Pusher(
        app_id=app.id,
        key=app.key,
        secret=app.secret,
        ssl=False,
        host=server.host,
        port=server.port,
        encryption_master_key_base64=MASTER_KEY,
    )


@pytest.fixture
def backend(server: Server) -> Any:
    return backend_of(server, PLAIN)


@pytest.fixture
def counting_backend(server: Server) -> Any:
    return backend_of(server, COUNTED)


@pytest.mark.feature("trigger")
def test_the_default_application_suits_it(tmp_path: Path) -> None:
    """The library takes application ids of digits only."""
    with running(Server(tmp_path)) as server:
        assert backend_of(server, DEFAULT_APP).trigger("news", "note", {}) == {}
        with pytest.raises(ValueError, match="app id"):
            backend_of(server, App("main", DEFAULT_APP.key, DEFAULT_APP.secret))


@pytest.mark.feature("trigger", "trigger on several channels")
def test_trigger(listener: Listen, backend: Any, unique: str) -> None:
    one, other = f"one-{unique}", f"other-{unique}"
    emily = listener()
    emily.subscribe(one, "price")
    emily.subscribe(other, "price")
    assert backend.trigger(one, "price", {"cents": 1250, "currency": "€"}) == {}
    assert emily.expect(one, "price") == {"cents": 1250, "currency": "€"}
    assert backend.trigger([one, other], "price", {"cents": 1300}) == {}
    assert emily.expect(one, "price") == {"cents": 1300}
    assert emily.expect(other, "price") == {"cents": 1300}


@pytest.mark.feature("trigger without one socket")
def test_trigger_leaves_out_the_given_socket(listener: Listen, backend: Any, unique: str) -> None:
    news = f"news-{unique}"
    sender, reader = listener(), listener()
    for someone in (sender, reader):
        someone.subscribe(news, "first", "second")
    backend.trigger(news, "first", {}, socket_id=sender.socket_id)
    backend.trigger(news, "second", {})
    reader.expect(news, "first")
    sender.expect(news, "second")
    assert not sender.reports.waiting(on=news, event="first")


@pytest.mark.not_offered("trigger with info", "`trigger` has no such argument")
def test_trigger_asks_for_no_info(backend: Any) -> None:
    assert "info" not in inspect.signature(backend.trigger).parameters


@pytest.mark.feature("trigger a batch")
def test_trigger_batch(listener: Listen, backend: Any, unique: str) -> None:
    news, room = f"news-{unique}", f"presence-{unique}"
    emily = listener(user_data={"user_id": "emily"})
    emily.subscribe(news, "a")
    emily.subscribe(room, "b")
    batch = [
        {"channel": news, "name": "a", "data": {"n": 1}},
        {"channel": room, "name": "b", "data": {"n": 2}},
    ]
    assert backend.trigger_batch(batch) == {}
    assert emily.expect(news, "a") == {"n": 1}
    assert emily.expect(room, "b") == {"n": 2}
    assert backend.trigger_batch([{**batch[1], "info": "user_count"}]) == {
        "batch": [{"user_count": 1}]
    }


@pytest.mark.feature("channels")
def test_channels_info(listener: Listen, backend: Any, counting_backend: Any, unique: str) -> None:
    news, room = f"{unique}-news", f"presence-{unique}"
    emily = listener(user_data={"user_id": "emily"})
    emily.subscribe(news)
    emily.subscribe(room)
    channels = backend.channels_info()["channels"]
    assert channels[news] == channels[room] == {}
    assert backend.channels_info(prefix_filter=room, attributes=["user_count"]) == {
        "channels": {room: {"user_count": 1}}
    }
    assert backend.channels_info(prefix_filter=f"nothing-{unique}") == {"channels": {}}
    listener(COUNTED).subscribe(news)
    assert counting_backend.channels_info(prefix_filter=unique) == {
        "channels": {news: {"occupied": True, "subscription_count": 1}}
    }
    with pytest.raises(pusher.errors.PusherBadRequest):
        backend.channels_info(attributes=["user_count"])


@pytest.mark.feature("channel")
def test_channel_info(listener: Listen, backend: Any, counting_backend: Any, unique: str) -> None:
    news, room = f"news-{unique}", f"presence-{unique}"
    listener(user_data={"user_id": "emily"}).subscribe(room)
    assert backend.channel_info(room, ["user_count"]) == {"occupied": True, "user_count": 1}
    assert backend.channel_info(news) == {"occupied": False}
    listener(COUNTED).subscribe(news)
    assert counting_backend.channel_info(news, ["subscription_count"]) == {
        "occupied": True,
        "subscription_count": 1,
    }
    backend.trigger(f"cache-{unique}", "report", {"celsius": 21})
    cached = backend.channel_info(f"cache-{unique}", ["cache"])
    assert cached["cache"]["data"] == '{"celsius": 21}'


@pytest.mark.feature("users of a channel")
def test_users_info(listener: Listen, backend: Any, unique: str) -> None:
    room = f"presence-{unique}"
    assert backend.users_info(room) == {"users": []}
    listener(user_data={"user_id": 10}).subscribe(room)
    assert backend.users_info(room) == {"users": [{"id": "10"}]}
    with pytest.raises(pusher.errors.PusherBadRequest):
        backend.users_info(f"news-{unique}")


@pytest.mark.feature("authorize a channel")
def test_authenticate(listener: Listen, backend: Any, unique: str) -> None:
    """Its channel_data is JSON with spaces and escapes, signed as it is."""
    private, room = f"private-{unique}", f"presence-{unique}"
    emily = listener()
    assert emily.subscribe_as(private, backend.authenticate(private, emily.socket_id)) == {}
    member = {"user_id": "émile", "user_info": {"name": "É/☕"}}
    roster = emily.subscribe_as(room, backend.authenticate(room, emily.socket_id, member))
    assert roster["presence"]["hash"] == {"émile": {"name": "É/☕"}}


@pytest.mark.feature("send to a user", "authenticate a user")
def test_send_to_user(listener: Listen, backend: Any, unique: str) -> None:
    assert backend.send_to_user(unique, "invoice-ready", {"id": 1}) == {}
    emily = listener()
    prepared = backend.authenticate_user(emily.socket_id, {"id": unique})
    assert emily.sign_in(prepared) == prepared["user_data"]
    own = f"#server-to-user-{unique}"
    emily.subscribe(own, "invoice-ready")
    assert backend.send_to_user(unique, "invoice-ready", {"id": 2}) == {}
    assert emily.expect(own, "invoice-ready") == {"id": 2}


@pytest.mark.feature("terminate connections")
def test_terminate_user_connections(listener: Listen, backend: Any, unique: str) -> None:
    """It leaves the application out of the path."""
    assert backend.terminate_user_connections(unique) == {}
    emily = listener()
    emily.sign_in(backend.authenticate_user(emily.socket_id, {"id": unique}))
    assert backend.terminate_user_connections(unique) == {}
    assert emily.expect("connection", "pusher:error")["code"] == 4009


@pytest.mark.feature("trigger encrypted")
def test_encrypted_events_are_opened_by_pusher_js(
    client: Callable[..., Client], backend: Any, unique: str
) -> None:
    vault = f"private-encrypted-{unique}"
    emily = client()
    emily.subscribe(vault)
    backend.trigger(vault, "rotated", {"pin": "0000"})
    assert emily.expect(vault, "rotated") == {"pin": "0000"}


@pytest.mark.feature("refusals")
def test_refusals_have_their_exceptions(server: Server) -> None:
    guesses = App(PLAIN.id, PLAIN.key, "guessed")
    with pytest.raises(pusher.errors.PusherBadAuth, match="Invalid signature"):
        backend_of(server, guesses).trigger("news", "note", {})
    with pytest.raises(pusher.errors.PusherBadRequest, match="'pusher' namespace is reserved"):
        backend_of(server, PLAIN).trigger("news", "pusher:note", {})
