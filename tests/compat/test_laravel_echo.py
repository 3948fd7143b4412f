"""Laravel Echo with pusher-js, as an application for Laravel configures it (statement 153)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from compat.deployment import Deployment
from compat.inbox import Report
from compat.matrix import each, first_of
from compat.scripts import SCRIPTS, Backend, Script, connection_settings
from compat.sdks import ECHO_PUSHER, ECHO_REVERB, Sdk
from compat.serving import COUNTED, PLAIN, Address, App, Server

BROADCASTERS = {ECHO_PUSHER: "pusher", ECHO_REVERB: "reverb"}


class Echo(Script):
    """Echo and the endpoints of its application, which knows one user.

    *forbidden* are the full names of channels which the application refuses, *forged* of those
    which it signs with a wrong secret.
    """

    def __init__(
        self,
        node: str,
        server: Address,
        app: App,
        sdk: Sdk,
        user: Report,
        forbidden: tuple[str, ...] = (),
        forged: tuple[str, ...] = (),
    ) -> None:
        settings = connection_settings(server, app)
        settings |= {"broadcaster": BROADCASTERS[sdk], "user": user}
        settings |= {"forbidden": forbidden, "forged": forged}
        super().__init__([node, str(SCRIPTS / "echo.mjs")], settings)

    def connected(self) -> str:
        return str(self.expect("connection", "connected"))

    def listen(self, kind: str, name: str, *events: str, whispers: tuple[str, ...] = ()) -> None:
        self.tell("listen", kind=kind, name=name, events=events, whispers=whispers)

    def subscribe(self, kind: str, name: str, *events: str, whispers: tuple[str, ...] = ()) -> None:
        self.listen(kind, name, *events, whispers=whispers)
        self.expect(name, "subscribed")

    def expect(self, on: str, event: str) -> Any:
        return self.reports.expect(on=on, event=event).get("data")


Connect = Callable[..., Echo]


@pytest.fixture
def echo(node: str, server: Server, clients: ExitStack, sdk: Sdk) -> Connect:
    def connect(
        name: str = "emily", address: Address = server, app: App = PLAIN, **more: Any
    ) -> Echo:
        user = {"id": name, "user_info": {"name": name.title()}, **more.pop("user", {})}
        started = Echo(node, address, app, sdk, user, **more)
        clients.callback(started.close)
        started.connected()
        return started

    return connect


@each(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("connect", "public channel", "private channel")
def test_public_and_private(echo: Connect, node_backend: Backend, unique: str) -> None:
    """Events of Laravel have the names of their classes, others begin with a dot."""
    emily = echo()
    emily.subscribe("channel", unique, "OrderShipped", ".note")
    emily.subscribe("private", unique, "OrderShipped", ".note")
    assert emily.ask("status") == "connected"
    channels = [unique, f"private-{unique}"]
    node_backend.call("trigger", channels, r"App\Events\OrderShipped", {"order": {"id": 7}})
    node_backend.call("trigger", channels, "note", {"text": "Grüße ☕"})
    for _ in channels:
        assert emily.expect(unique, "OrderShipped") == {"order": {"id": 7}}
        assert emily.expect(unique, ".note") == {"text": "Grüße ☕"}


@each(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("presence channel", "client event")
def test_presence_and_whispers(echo: Connect, unique: str) -> None:
    emily = echo()
    emily.subscribe("join", unique, whispers=("typing",))
    assert emily.expect(unique, "here") == [{"name": "Emily"}]
    john = echo("john")
    john.subscribe("join", unique, whispers=("typing",))
    names = [member["name"] for member in john.expect(unique, "here")]
    assert sorted(names) == ["Emily", "John"]
    assert emily.expect(unique, "joining") == {"name": "John"}
    john.tell("whisper", kind="join", name=unique, whisper="typing", data={"draft": True})
    assert emily.expect(unique, "whisper typing") == {"draft": True}
    john.tell("leave", name=unique)
    assert emily.expect(unique, "leaving") == {"name": "John"}
    assert not john.reports.waiting(event="whisper typing")


@each(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("refused subscription")
def test_the_error_of_a_refused_subscription(echo: Connect, unique: str) -> None:
    """The application refuses the first channel, the server the second."""
    emily = echo(forbidden=(f"private-{unique}-1",), forged=(f"presence-{unique}-2",))
    emily.listen("private", f"{unique}-1")
    assert emily.expect(f"{unique}-1", "error")["status"] == 403
    emily.listen("join", f"{unique}-2")
    refusal = emily.expect(f"{unique}-2", "error")
    assert (refusal["type"], refusal["status"]) == ("AuthError", 401)
    emily.subscribe("private", f"{unique}-3")
    assert not emily.reports.waiting(event="here")


@first_of(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("client event")
def test_whispers_on_a_private_channel(echo: Connect, unique: str) -> None:
    emily, john = echo(), echo("john")
    for someone in (emily, john):
        someone.subscribe("private", unique, whispers=("typing",))
    john.tell("whisper", kind="private", name=unique, whisper="typing", data={"draft": True})
    assert emily.expect(unique, "whisper typing") == {"draft": True}


@first_of(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("encrypted channel")
def test_encrypted_events_are_opened(echo: Connect, node_backend: Backend, unique: str) -> None:
    emily = echo()
    emily.subscribe("encryptedPrivate", unique, ".rotated")
    node_backend.call("trigger", f"private-encrypted-{unique}", "rotated", {"pin": "0000"})
    assert emily.expect(unique, ".rotated") == {"pin": "0000"}


@first_of(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("cache channel")
def test_cache_channels(echo: Connect, node_backend: Backend, unique: str) -> None:
    empty, full = f"cache-empty-{unique}", f"cache-full-{unique}"
    node_backend.call("trigger", full, "report", {"celsius": 21})
    emily = echo()
    emily.subscribe("channel", full, ".report", ".pusher:cache_miss")
    assert emily.expect(full, ".report") == {"celsius": 21}
    emily.subscribe("channel", empty, ".pusher:cache_miss")
    emily.expect(empty, ".pusher:cache_miss")
    assert not emily.reports.waiting(on=full, event=".pusher:cache_miss")


@first_of(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("subscription count")
def test_subscription_count(echo: Connect, unique: str) -> None:
    emily = echo(app=COUNTED)
    emily.subscribe("channel", unique, ".pusher:subscription_count")
    count = emily.expect(unique, ".pusher:subscription_count")
    assert count == {"subscription_count": 1}


@first_of(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("sign-in")
def test_what_is_sent_to_a_user(echo: Connect, node_backend: Backend, unique: str) -> None:
    emily = echo(unique)
    emily.tell("signin")
    emily.expect("user", "signed-in")
    emily.subscribe("channel", unique)
    node_backend.call("sendToUser", unique, "invoice-ready", {"id": 99})
    assert emily.expect("user", "invoice-ready") == {"id": 99}


@first_of(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("watchlist")
def test_watchlist(echo: Connect, unique: str) -> None:
    """Through the pusher-js client below Echo."""
    friend = f"john-{unique}"
    emily = echo(unique, user={"watchlist": [friend]})
    emily.tell("signin")
    assert emily.expect("watchlist", "offline")["user_ids"] == [friend]
    echo(friend).tell("signin")
    assert emily.expect("watchlist", "online")["user_ids"] == [friend]


@first_of(ECHO_PUSHER, ECHO_REVERB)
@pytest.mark.feature("reconnect after 4200")
def test_a_replaced_server_is_left_for_the_next(
    node: str, deployment: Deployment, echo: Connect, clients: ExitStack, unique: str
) -> None:
    emily = echo(address=deployment)
    emily.subscribe("private", f"orders-{unique}", ".back")
    emily.subscribe("join", f"room-{unique}", ".back")
    assert emily.expect(f"room-{unique}", "here") == [{"name": "Emily"}]

    deployment.replace()

    emily.expect(f"orders-{unique}", "subscribed")
    assert emily.expect(f"room-{unique}", "here") == [{"name": "Emily"}]
    backend = Backend(node, deployment, PLAIN)
    clients.callback(backend.close)
    backend.call("trigger", [f"private-orders-{unique}", f"presence-room-{unique}"], "back", {})
    for name in ("orders", "room"):
        assert emily.expect(f"{name}-{unique}", ".back") == {}
