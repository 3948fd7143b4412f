"""A browser as the backend sees it, and its connection to the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from compat.inbox import DEADLINE
from compat.serving import DEFAULT_APP
from demo.serving import Chat
from herenow.demo.sessions import COOKIE

SOCKET_ID: Final = "81234.5678901"
SALES: Final = "presence-business-sales"
SUPPORT: Final = "presence-business-support"
GAMING: Final = "presence-gaming"


class Visitor:
    """One browser: it keeps its cookie."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.http = httpx2.Client(base_url=chat.url, trust_env=False, timeout=DEADLINE)

    def sign_in(self, person: str) -> None:
        response = self.post("/sign-in", {"person": person})
        assert response.status_code == 204, response.text

    def post(self, path: str, content: object, **headers: str) -> httpx2.Response:
        sent = {"Content-Type": "application/json"} | headers
        return self.http.post(path, content=json.dumps(content), headers=sent)

    def post_form(self, path: str, fields: Mapping[str, str]) -> httpx2.Response:
        return self.http.post(path, data=dict(fields))

    def authorize(self, channel: str, socket_id: str = SOCKET_ID) -> httpx2.Response:
        return self.post_form("/pusher/auth", {"socket_id": socket_id, "channel_name": channel})

    def authenticate(self, socket_id: str = SOCKET_ID) -> httpx2.Response:
        return self.post_form("/pusher/user-auth", {"socket_id": socket_id})

    def say(self, text: object, room: object = GAMING) -> httpx2.Response:
        return self.post("/messages", {"room": room, "text": text})

    def remove(self, user: object, room: str = SALES, reason: object = "spam") -> httpx2.Response:
        return self.post("/remove", {"room": room, "user": user, "reason": reason})

    def let_in(self, user: object, room: str = SALES) -> httpx2.Response:
        return self.post("/let-in", {"room": room, "user": user})

    def session(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/session").json()
        return found


def until_too_fast(send: Callable[[], httpx2.Response]) -> tuple[int, httpx2.Response]:
    """How often *send* was answered before it was refused as too fast, and that refusal."""
    for count in range(5_000):
        response = send()
        if response.status_code == 429:
            return count, response
    raise AssertionError("never refused")


class Held:
    """A request of a visitor whose body is not all sent yet."""

    def __init__(self, http: HTTPConnection, rest: bytes) -> None:
        self._http = http
        self._rest = rest

    def finish(self) -> tuple[int, str]:
        self._http.send(self._rest)
        response = self._http.getresponse()
        return response.status, response.read().decode()


@contextmanager
def held(visitor: Visitor, path: str, body: str, kind: str = "application/json") -> Iterator[Held]:
    """Begin to post *body*, as the visitor who is signed in now."""
    content = body.encode()
    http = HTTPConnection(urlsplit(visitor.chat.url).netloc, timeout=DEADLINE)
    try:
        http.putrequest("POST", path)
        http.putheader("Content-Type", kind)
        http.putheader("Content-Length", str(len(content)))
        http.putheader("Cookie", f"{COOKIE}={visitor.http.cookies[COOKIE]}")
        http.endheaders(content[:-1])
        yield Held(http, content[-1:])
    finally:
        http.close()


class Tab:
    """A page of a visitor, as far as the server can tell."""

    def __init__(self, visitor: Visitor, socket: ClientConnection) -> None:
        self._visitor = visitor
        self._socket = socket
        self.socket_id: str = self.expect("pusher:connection_established")["socket_id"]

    def sign_in(self) -> None:
        answer = self._visitor.authenticate(self.socket_id).json()
        self._send("pusher:signin", answer)
        self.expect("pusher:signin_success")
        user = json.loads(answer["user_data"])["id"]
        self._subscribe({"auth": "", "channel": f"#server-to-user-{user}"})

    def enter(self, room: str) -> list[str]:
        """Who is there, by id."""
        answer = self._visitor.authorize(room, self.socket_id).json()
        ids: list[str] = self._subscribe({**answer, "channel": room})["presence"]["ids"]
        return ids

    def expect(self, event: str) -> Any:
        """The data of the next *event*; other events before it are passed over."""
        while True:
            frame = json.loads(self._socket.recv(DEADLINE))
            if frame["event"] == event:
                data = frame["data"]
                return json.loads(data) if isinstance(data, str) else data

    def expect_close(self) -> int:
        """The code that the server closes with; what it sends before is passed over."""
        try:
            while True:
                self._socket.recv(DEADLINE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else CloseCode.ABNORMAL_CLOSURE

    def _subscribe(self, subscription: Mapping[str, object]) -> Any:
        self._send("pusher:subscribe", subscription)
        return self.expect("pusher_internal:subscription_succeeded")

    def _send(self, event: str, data: object) -> None:
        self._socket.send(json.dumps({"event": event, "data": data}))


@contextmanager
def open_tab(visitor: Visitor) -> Iterator[Tab]:
    server = visitor.chat.server
    address = f"ws://{server.host}:{server.port}/app/{DEFAULT_APP.key}?protocol=7"
    with connect(address, proxy=None) as socket:
        yield Tab(visitor, socket)


@contextmanager
def present(visitor: Visitor, *rooms: str) -> Iterator[Tab]:
    """A tab that has signed in and entered *rooms*."""
    with open_tab(visitor) as tab:
        tab.sign_in()
        for room in rooms:
            tab.enter(room)
        yield tab
