"""The Java client, which announces protocol 5 and decrypts whatever an encrypted channel brings."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from compat.inbox import DEADLINE
from compat.scripts import Backend, Client, Script, connection_settings
from compat.serving import PLAIN, Server

JAVA: Final = Path(__file__).parent / "java"


class JavaClient(Script):
    def __init__(self, java: str, server: Server, user: dict[str, Any]) -> None:
        settings = {**connection_settings(server, PLAIN), "user": user}
        libraries = JAVA / "target" / "dependency" / "*"
        source = JAVA / "Client.java"
        super().__init__([java, "-cp", str(libraries), str(source)], settings)

    def connected(self) -> None:
        self.expect("ready", "subscribed")

    def subscribe(self, channel: str, event: str) -> None:
        self.tell("subscribe", channel=channel, event=event)
        self.reports.expect(on=channel, event="subscribed")

    def expect(self, on: str, event: str) -> Any:
        return self.reports.expect(on=on, event=event).get("data")


@pytest.fixture
def emily(server: Server, clients: ExitStack, unique: str) -> JavaClient:
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed")
    if not (JAVA / "target" / "dependency").is_dir():
        pytest.skip(
            "run mvn dependency:copy-dependencies -DoutputDirectory=target/dependency "
            "in tests/compat/java first"
        )
    user = {"id": f"emily-{unique}", "user_info": {"name": "Emily"}}
    client = JavaClient(java, server, user)
    clients.callback(client.close)
    client.connected()
    return client


@pytest.fixture(autouse=True)
def no_complaints(emily: JavaClient) -> Iterator[None]:
    yield
    assert not emily.reports.waiting(on="connection", event="error")


def test_public_and_private(emily: JavaClient, node_backend: Backend, unique: str) -> None:
    public, private = f"news-{unique}", f"private-{unique}"
    emily.subscribe(public, "note")
    emily.subscribe(private, "note")
    node_backend.call("trigger", [public, private], "note", {"text": "Grüße ☕"})
    for channel in (public, private):
        assert json.loads(emily.expect(channel, "note")) == {"text": "Grüße ☕"}


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


def test_encrypted_events_are_opened(emily: JavaClient, node_backend: Backend, unique: str) -> None:
    """Statement 154: also no complaint about the success and the miss."""
    vault, cached = f"private-encrypted-{unique}", f"private-encrypted-cache-{unique}"
    for channel in (vault, cached):
        emily.subscribe(channel, "rotated")
        node_backend.call("trigger", channel, "rotated", {"pin": "0000"})
        assert json.loads(emily.expect(channel, "rotated")) == {"pin": "0000"}


def test_what_is_sent_to_a_user(emily: JavaClient, node_backend: Backend, unique: str) -> None:
    own = f"#server-to-user-emily-{unique}"
    emily.tell("signin", event="invoice-ready")
    # The library does not tell when it has subscribed to the user's own channel.
    deadline = time.monotonic() + DEADLINE
    while not emily.reports.waiting(on=own) and time.monotonic() < deadline:
        node_backend.call("sendToUser", f"emily-{unique}", "invoice-ready", {"id": 99})
    assert json.loads(emily.expect(own, "invoice-ready")) == {"id": 99}
