"""Pysher, which announces protocol 6 and obeys the code of any ``pusher:error``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pusher
import pytest

from compat.listener import Listener, listening
from compat.serving import COUNTED, PLAIN, Server

Listen = Callable[..., Listener]


@pytest.fixture
def backend(server: Server) -> Any:
    return backend_of(server)


def backend_of(server: Server) -> Any:
    app = PLAIN
    return pusher.Pusher(app.id, app.key, app.secret, ssl=False, host=server.host, port=server.port)


def test_public_and_private(listener: Listen, backend: Any, unique: str) -> None:
    public, private = f"news-{unique}", f"private-{unique}"
    emily = listener()
    assert emily.subscribe(public, "note") == {}
    assert emily.subscribe(private, "note") == {}
    backend.trigger([public, private], "note", {"text": "Grüße ☕"})
    assert emily.expect(public, "note") == {"text": "Grüße ☕"}
    assert emily.expect(private, "note") == {"text": "Grüße ☕"}


def test_presence(listener: Listen, unique: str) -> None:
    room = f"presence-{unique}"
    added, removed = "pusher_internal:member_added", "pusher_internal:member_removed"
    emily = listener(user_data={"user_id": "emily", "user_info": {"name": "Emily"}})
    roster = emily.subscribe(room, added, removed)
    assert roster == {
        "presence": {"count": 1, "ids": ["emily"], "hash": {"emily": {"name": "Emily"}}}
    }
    john = listener(user_data={"user_id": "john"})
    john.subscribe(room)
    assert emily.expect(room, added) == {"user_id": "john", "user_info": {}}
    john.pusher.unsubscribe(room)
    assert emily.expect(room, removed) == {"user_id": "john"}


def test_client_events(listener: Listen, unique: str) -> None:
    private = f"private-{unique}"
    emily, john = listener(), listener()
    emily.subscribe(private, "client-typing")
    john.subscribe(private, "client-typing")
    john.pusher.channel(private).trigger("client-typing", {"draft": True})
    assert emily.expect(private, "client-typing") == {"draft": True}
    assert not john.reports.waiting(event="client-typing")


def test_it_stays_connected_after_a_refused_subscription(listener: Listen, unique: str) -> None:
    emily = listener()
    emily.pusher.subscribe(f"private-{unique}", auth=f"{PLAIN.key}:{'0' * 64}")
    error = emily.expect("connection", "pusher:error")
    assert error["code"] is None
    assert error["message"].startswith("Invalid signature: Expected HMAC SHA256 hex digest of ")
    assert emily.subscribe(f"news-{unique}") == {}
    assert emily.state == "connected"


def test_cache_channels(listener: Listen, backend: Any, unique: str) -> None:
    empty, full = f"cache-empty-{unique}", f"cache-full-{unique}"
    backend.trigger(full, "report", {"celsius": 21})
    emily = listener()
    emily.subscribe(full, "report")
    assert emily.expect(full, "report") == {"celsius": 21}
    emily.subscribe(empty, "pusher:cache_miss")
    assert emily.expect(empty, "pusher:cache_miss") == {}


def test_subscription_count(listener: Listen, unique: str) -> None:
    news, event = f"news-{unique}", "pusher_internal:subscription_count"
    emily = listener(COUNTED)
    emily.subscribe(news, event)
    assert emily.expect(news, event) == {"subscription_count": 1}


def test_it_comes_back_after_a_restart(own_server: Server, unique: str) -> None:
    news = f"news-{unique}"
    with listening(own_server, PLAIN) as emily:
        emily.subscribe(news, "note")
        first = emily.socket_id
        own_server.stop()
        assert emily.expect("connection", "pusher:error")["code"] == 4200
        own_server.start()
        emily.connected()
        assert emily.socket_id != first
        emily.expect(news, "pusher_internal:subscription_succeeded")
        backend_of(own_server).trigger(news, "note", {"back": True})
        assert emily.expect(news, "note") == {"back": True}
