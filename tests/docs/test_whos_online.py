"""The walk of ``whos-online.md``, with each of its backends, as two people and an intruder."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from compat.scripts import Script
from compat.serving import DEFAULT_APP, Server
from docs.pages import ROOT, snippet, snippets
from docs.running import expect_line, printing, with_port

PAGE: Final = "whos-online.md"
CHAT: Final = ROOT / "examples" / "node-chat"
SALES: Final = "presence-business-sales"
GAMING: Final = "presence-gaming"
SOCKET_ID: Final = "81234.5678901"

Enter = Callable[[str], "Visitor"]


class Visitor(Script):
    """A person who is logged in, connected and signed in."""

    def __init__(self, node: str, url: str, person: str) -> None:
        settings = {"url": url, "person": person, "bindings": snippet(PAGE, "added to app.js")}
        super().__init__([node, str(Path(__file__).with_name("visitor.mjs"))], settings)
        self.reports.expect(on="user", event="signed-in")

    def subscribe(self, channel: str) -> Any:
        self.tell("subscribe", channel=channel)
        return self.hear(channel, "pusher:subscription_succeeded")["members"]

    def hear(self, channel: str, event: str) -> Any:
        return self.reports.expect(on=channel, event=event)["data"]

    def post(self, path: str, **content: object) -> int:
        return int(self.ask("post", path=path, content=content))

    def remove(self, path: str) -> int:
        return int(self.ask("remove", path=path))


def node_program(directory: Path, _server: Server) -> list[str]:
    """``server.js`` with what the page adds to it."""
    text = (CHAT / "server.js").read_text(encoding="utf-8")
    before, handler, after = text.partition("app.use((error")
    assert handler
    added = [block.text for block in snippets(PAGE, "added to server.js")]
    assert added
    (directory / "server.js").write_text("\n".join([before, *added, handler + after]), "utf-8")
    shutil.copy(CHAT / "package.json", directory)
    return ["node", "server.js"]


def python_program(directory: Path, server: Server) -> list[str]:
    text = "\n\n".join(block.text for block in snippets(PAGE, "chat.py"))
    (directory / "chat.py").write_text(with_port(text, server), "utf-8")
    return [sys.executable, "-u", "chat.py"]


@pytest.fixture(params=[node_program, python_program], ids=["node", "python"])
def backend(
    request: pytest.FixtureRequest, node: str, server: Server, directory: Path
) -> Iterator[str]:
    """Where the chat of the page listens."""
    if not (CHAT / "node_modules").is_dir():
        pytest.skip("run npm ci in examples/node-chat first")
    (directory / "public").symlink_to(CHAT / "public")
    (directory / "node_modules").symlink_to(CHAT / "node_modules")
    command = request.param(directory, server)
    settings = {"PORT": "0", "PUSHER_HOST": server.host, "PUSHER_PORT": str(server.port)}
    with printing(command, directory, **settings) as lines:
        address = re.search(r"http://[\d.:]+", expect_line(lines, "http://127.0.0.1:"))
        assert address is not None
        yield address[0]


@pytest.fixture
def enter(node: str, backend: str) -> Iterator[Enter]:
    with ExitStack() as opened:

        def open_page(person: str) -> Visitor:
            visitor = Visitor(node, backend, person)
            opened.callback(visitor.close)
            return visitor

        yield open_page


@pytest.mark.parametrize("title", ["server.js", "app.js"])
def test_the_page_shows_what_the_example_does(title: str) -> None:
    program = (CHAT / title) if title == "server.js" else (CHAT / "public" / title)
    text = program.read_text(encoding="utf-8")
    shown = snippets(PAGE, title)
    assert shown
    for block in shown:
        assert block.text in text


def test_hobby_rooms_take_the_user_and_business_rooms_say_more(enter: Enter) -> None:
    emily, john = enter("emily"), enter("john")
    plain = {"name": "Emily", "colour": "violet"}
    assert emily.subscribe(GAMING) == {"emily": plain}
    assert emily.ask("me", channel=GAMING) == {"id": "emily", "info": plain}
    assert john.subscribe(GAMING) == {
        "emily": plain,
        "john": {"name": "John", "colour": "blue"},
    }
    assert emily.hear(GAMING, "pusher:member_added")["info"] == {"name": "John", "colour": "blue"}

    emily.subscribe(SALES)
    assert john.subscribe(SALES) == {
        "emily": {"name": "Emily", "colour": "violet", "admin": True},
        "john": {"name": "John", "colour": "blue", "admin": False},
    }
    john.tell("unsubscribe", channel=SALES)
    assert emily.hear(SALES, "pusher:member_removed")["id"] == "john"


def test_messages_to_a_room_and_to_one_person(enter: Enter) -> None:
    emily, john, ada = enter("emily"), enter("john"), enter("ada")
    for visitor in (emily, john, ada):
        visitor.subscribe(GAMING)
    assert john.post("/messages", room=GAMING, text="hello") == 204
    message = emily.hear(GAMING, "message")
    assert message["from"] == {"id": "john", "name": "John", "colour": "blue"}
    assert message["text"] == "hello"
    ada.hear(GAMING, "message")

    assert emily.post("/people/john/messages", text="for you") == 204
    assert emily.post("/people/nobody/messages", text="for you") == 404
    assert emily.post("/people/john/messages", text=" ") == 400
    assert emily.post("/messages", room="presence-elsewhere", text="hello") == 400
    john.reports.expect(on="notes", text="Emily, to you alone: for you")
    assert john.post("/messages", room=GAMING, text="after it") == 204
    assert ada.hear(GAMING, "message")["text"] == "after it"
    assert not ada.reports.waiting(on="notes")


def test_throwing_somebody_out(enter: Enter, backend: str) -> None:
    emily, john = enter("emily"), enter("john")
    emily.subscribe(SALES)
    john.subscribe(SALES)
    emily.hear(SALES, "pusher:member_added")
    assert john.remove("/people/emily") == 403
    assert emily.remove("/people/nobody") == 404
    assert emily.remove("/people/john") == 204
    john.reports.expect(on="connection", state="disconnected")
    assert emily.hear(SALES, "pusher:member_removed")["id"] == "john"
    assert john.post("/messages", room=SALES, text="still here") == 401
    again = httpx2.post(f"{backend}/session", json={"person": "john"})
    assert again.status_code == 400


def test_what_the_endpoints_refuse(backend: str) -> None:
    with httpx2.Client(base_url=backend) as client:

        def status(path: str, **fields: str) -> int:
            return client.post(path, data=fields).status_code

        assert status("/pusher/user-auth", socket_id=SOCKET_ID) == 401
        assert status("/pusher/auth", socket_id=SOCKET_ID, channel_name=GAMING) == 401
        assert client.post("/session", json={"person": "emily"}).status_code == 204
        assert status("/pusher/user-auth", socket_id=SOCKET_ID) == 200
        assert status("/pusher/user-auth", socket_id="1") == 400
        assert status("/pusher/auth", socket_id=SOCKET_ID, channel_name="presence-board") == 403
        assert status("/pusher/auth", socket_id="1", channel_name=GAMING) == 400
        client.headers["Origin"] = "https://elsewhere.example"
        assert status("/pusher/user-auth", socket_id=SOCKET_ID) == 403
        assert status("/pusher/auth", socket_id=SOCKET_ID, channel_name=GAMING) == 403


@pytest.mark.parametrize("path", ["/", "/app.js", "/vendor/pusher-js/pusher.min.js"])
def test_the_page_is_there(backend: str, path: str) -> None:
    assert httpx2.get(backend + path).status_code == 200


def test_the_key_is_that_of_the_built_in_application(backend: str) -> None:
    answer = httpx2.get(f"{backend}/session").json()
    assert answer["pusher"]["key"] == DEFAULT_APP.key
    assert answer["me"] is None
