"""The Java client, which announces protocol 5 and decrypts whatever an encrypted channel brings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from compat.deployment import Deployment
from compat.inbox import DEADLINE, Report
from compat.scripts import JAVA, Backend, Client, Script, connection_settings
from compat.sdks import JAVA_CLIENT
from compat.serving import COUNTED, PLAIN, Address, App, Server

pytestmark = pytest.mark.sdk(JAVA_CLIENT)


class JavaClient(Script):
    """A client of one user. *forged* are the channels that it signs with a wrong signature."""

    def __init__(
        self,
        java: list[str],
        server: Address,
        app: App,
        user: Report,
        forged: tuple[str, ...] = (),
    ) -> None:
        settings = {**connection_settings(server, app), "user": user, "forged": forged}
        super().__init__([*java, str(JAVA / "Client.java")], settings)

    def connected(self) -> None:
        self.expect("ready", "subscribed")

    def subscribe(self, channel: str, event: str = "note") -> None:
        self.tell("subscribe", channel=channel, event=event)
        self.expect(channel, "subscribed")

    def expect(self, on: str, event: str) -> Any:
        return self.reports.expect(on=on, event=event).get("data")

    def finish(self) -> None:
        """End it; the library must have complained of nothing that a test did not expect."""
        self.close()
        assert not self.reports.waiting(on="connection", event="error")


Connect = Callable[..., JavaClient]


@pytest.fixture
def connect(java: list[str], server: Server, clients: ExitStack, unique: str) -> Connect:
    user = {"id": f"emily-{unique}", "user_info": {"name": "Emily"}}

    def connect(address: Address = server, app: App = PLAIN, **settings: Any) -> JavaClient:
        started = JavaClient(java, address, app, user, **settings)
        clients.callback(started.finish)
        started.connected()
        return started

    return connect


@pytest.fixture
def emily(connect: Connect) -> JavaClient:
    return connect()


@pytest.mark.feature("connect", "public channel", "private channel")
def test_public_and_private(emily: JavaClient, node_backend: Backend, unique: str) -> None:
    public, private = f"news-{unique}", f"private-{unique}"
    emily.subscribe(public, "note")
    emily.subscribe(private, "note")
    node_backend.call("trigger", [public, private], "note", {"text": "Grüße ☕"})
    for channel in (public, private):
        assert json.loads(emily.expect(channel, "note")) == {"text": "Grüße ☕"}


@pytest.mark.feature("presence channel", "client event")
def test_presence_and_client_events(
    emily: JavaClient, client: Callable[..., Client], unique: str
) -> None:
    room = f"presence-{unique}"
    emily.subscribe(room, "client-typing")
    roster = emily.expect(room, "members")
    assert {name: json.loads(info) for name, info in roster.items()} == {
        f"emily-{unique}": {"name": "Emily"}
    }
    john = client(members={room: {"user_id": "john"}})
    john.subscribe(room, "client-typing")
    assert emily.expect(room, "added") == "john"
    assert john.ask("trigger", channel=room, event="client-typing", data={"draft": True})
    assert json.loads(emily.expect(room, "client-typing")) == {"draft": True}
    emily.tell("trigger", channel=room, event="client-typing", data='{"draft":false}')
    heard = john.reports.expect(on=room, heard="client-typing")
    assert heard["data"] == {"draft": False}
    assert heard["user_id"] == f"emily-{unique}"
    john.tell("unsubscribe", channel=room)
    assert emily.expect(room, "removed") == "john"


@pytest.mark.feature("encrypted channel")
def test_encrypted_events_are_opened(emily: JavaClient, node_backend: Backend, unique: str) -> None:
    """Statement 154: also no complaint about the success and the miss."""
    vault, cached = f"private-encrypted-{unique}", f"private-encrypted-cache-{unique}"
    for channel in (vault, cached):
        emily.subscribe(channel, "rotated")
        node_backend.call("trigger", channel, "rotated", {"pin": "0000"})
        assert json.loads(emily.expect(channel, "rotated")) == {"pin": "0000"}


@pytest.mark.feature("sign-in")
def test_what_is_sent_to_a_user(emily: JavaClient, node_backend: Backend, unique: str) -> None:
    own = f"#server-to-user-emily-{unique}"
    emily.tell("signin", event="invoice-ready")
    # The library does not tell when it has subscribed to the user's own channel.
    deadline = time.monotonic() + DEADLINE
    while not emily.reports.waiting(on=own) and time.monotonic() < deadline:
        node_backend.call("sendToUser", f"emily-{unique}", "invoice-ready", {"id": 99})
    assert json.loads(emily.expect(own, "invoice-ready")) == {"id": 99}


@pytest.mark.feature("cache channel")
def test_cache_channels(emily: JavaClient, node_backend: Backend, unique: str) -> None:
    empty, full = f"cache-empty-{unique}", f"cache-full-{unique}"
    node_backend.call("trigger", full, "report", {"celsius": 21})
    emily.subscribe(full, "report")
    assert json.loads(emily.expect(full, "report")) == {"celsius": 21}
    emily.subscribe(empty, "pusher:cache_miss")
    emily.expect(empty, "pusher:cache_miss")


@pytest.mark.feature("subscription count")
def test_subscription_count(connect: Connect, unique: str) -> None:
    news, event = f"news-{unique}", "pusher:subscription_count"
    emily = connect(app=COUNTED)
    emily.subscribe(news, event)
    assert json.loads(emily.expect(news, event)) == {"subscription_count": 1}


@pytest.mark.feature("refused subscription")
def test_a_refused_subscription_is_told(connect: Connect, unique: str) -> None:
    private, event = f"private-{unique}", "pusher:subscription_error"
    emily = connect(forged=(private,))
    emily.tell("subscribe", channel=private, event=event)
    refusal = json.loads(emily.expect(private, event))
    assert (refusal["type"], refusal["status"]) == ("AuthError", 401)
    assert emily.expect("connection", "error").startswith("null Invalid signature: ")
    emily.subscribe(f"news-{unique}")


@pytest.mark.feature("reconnect after 4200")
def test_a_replaced_server_is_left_for_the_next(
    node: str, deployment: Deployment, connect: Connect, clients: ExitStack, unique: str
) -> None:
    channels = [f"news-{unique}", f"private-{unique}", f"presence-{unique}"]
    emily = connect(deployment)
    for channel in channels:
        emily.subscribe(channel, "back")

    deployment.replace()

    for channel in channels:
        emily.expect(channel, "subscribed")
    assert emily.expect("connection", "error").startswith("4200 ")
    backend = Backend(node, deployment, PLAIN)
    clients.callback(backend.close)
    backend.call("trigger", channels, "back", {})
    for channel in channels:
        assert json.loads(emily.expect(channel, "back")) == {}


@pytest.mark.not_offered("watchlist", "its user has no `watchlist`")
def test_it_knows_no_watchlist(emily: JavaClient) -> None:
    assert emily.ask("offers", name="signin") is True
    assert emily.ask("offers", name="watchlist") is False
