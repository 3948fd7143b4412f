"""Pysher, which announces protocol 6 and obeys the code of any ``pusher:error``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pusher
import pytest

from compat.listener import Listener, listening
from compat.scripts import MASTER_KEY
from compat.sdks import PYSHER
from compat.serving import COUNTED, PLAIN, Server

pytestmark = pytest.mark.sdk(PYSHER)

Listen = Callable[..., Listener]


@pytest.fixture
def backend(server: Server) -> Any:
    return backend_of(server)


def backend_of(server: Server) -> Any:
    return pusher.Pusher(
        PLAIN.id,
        PLAIN.key,
        PLAIN.secret,
        ssl=False,
        host=server.host,
        port=server.port,
        encryption_master_key_base64=MASTER_KEY,
    )


@pytest.mark.feature("connect", "public channel", "private channel")
def test_public_and_private(listener: Listen, backend: Any, unique: str) -> None:
    public, private = f"news-{unique}", f"private-{unique}"
    emily = listener()
    assert emily.subscribe(public, "note") == {}
    assert emily.subscribe(private, "note") == {}
    backend.trigger([public, private], "note", {"text": "Grüße ☕"})
    assert emily.expect(public, "note") == {"text": "Grüße ☕"}
    assert emily.expect(private, "note") == {"text": "Grüße ☕"}


@pytest.mark.feature("presence channel")
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


@pytest.mark.feature("client event")
def test_client_events(listener: Listen, unique: str) -> None:
    private = f"private-{unique}"
    emily, john = listener(), listener()
    emily.subscribe(private, "client-typing")
    john.subscribe(private, "client-typing")
    john.pusher.channel(private).trigger("client-typing", {"draft": True})
    assert emily.expect(private, "client-typing") == {"draft": True}
    assert not john.reports.waiting(event="client-typing")


@pytest.mark.feature("refused subscription")
def test_it_stays_connected_after_a_refused_subscription(listener: Listen, unique: str) -> None:
    emily = listener()
    emily.pusher.subscribe(f"private-{unique}", auth=f"{PLAIN.key}:{'0' * 64}")
    error = emily.expect("connection", "pusher:error")
    assert error["code"] is None
    assert error["message"].startswith("Invalid signature: Expected HMAC SHA256 hex digest of ")
    assert emily.subscribe(f"news-{unique}") == {}
    assert emily.state == "connected"


@pytest.mark.feature("cache channel")
def test_cache_channels(listener: Listen, backend: Any, unique: str) -> None:
    empty, full = f"cache-empty-{unique}", f"cache-full-{unique}"
    backend.trigger(full, "report", {"celsius": 21})
    emily = listener()
    emily.subscribe(full, "report")
    assert emily.expect(full, "report") == {"celsius": 21}
    emily.subscribe(empty, "pusher:cache_miss")
    assert emily.expect(empty, "pusher:cache_miss") == {}


@pytest.mark.feature("subscription count")
def test_subscription_count(listener: Listen, unique: str) -> None:
    news, event = f"news-{unique}", "pusher_internal:subscription_count"
    emily = listener(COUNTED)
    emily.subscribe(news, event)
    assert emily.expect(news, event) == {"subscription_count": 1}


@pytest.mark.feature("reconnect after 4200")
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


@pytest.mark.not_offered("encrypted channel", "it hands out what is encrypted")
def test_encrypted_events_stay_closed(listener: Listen, backend: Any, unique: str) -> None:
    vault = f"private-encrypted-{unique}"
    emily = listener()
    emily.subscribe(vault, "rotated")
    backend.trigger(vault, "rotated", {"pin": "0000"})
    assert set(emily.expect(vault, "rotated")) == {"nonce", "ciphertext"}


@pytest.mark.not_offered("sign-in", "it has no `signin`")
@pytest.mark.not_offered("watchlist", "it has no `user`")
def test_it_knows_no_users(listener: Listen) -> None:
    client = listener().pusher
    assert not hasattr(client, "signin")
    assert not hasattr(client, "user")
