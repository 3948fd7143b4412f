"""A node with its public port in the test's own event loop, so that a test sees both sides."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from herenow.api.routes import ApiRoutes
from herenow.apps.base import App, Key
from herenow.apps.static import StaticApps
from herenow.cluster.base import Bus, Clock, Ledger, Occupancy, Outbox, Publication, Transition
from herenow.cluster.memory import MemoryBus, MemoryLedger
from herenow.protocol.messages import encode_json
from herenow.protocol.signing import canonical_string, hex_digest, parse_query
from herenow.server.connection import Connection
from herenow.server.counters import Counters
from herenow.server.front import Front, FrontContext
from herenow.server.hub import Hub
from herenow.server.listening import Listener, bind, listen
from herenow.server.node import Node, NodeSettings
from herenow.server.timers import TimerWheel
from herenow.server.writes import Writes
from herenow.webhooks.desk import Desk
from herenow.webhooks.endpoints import Endpoints
from herenow.webhooks.events import Event, from_ledger
from herenow.webhooks.journal import Journal
from server.client import DEADLINE, Client, Message
from server.kept import KeptJournal

RETRY_SECONDS: Final = 300
APP: Final = App("7", (Key("app-key", "app-secret"),), client_events=True, leave_grace_seconds=0)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class LoopClock:
    """The clock that engines go by, on the wheel of the node."""

    def __init__(self, timers: TimerWheel) -> None:
        self._timers = timers

    def time(self) -> float:
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        return self._timers.call_later(delay, callback)


@dataclass
class RecordingSink:
    """Keeps what would go to webhooks."""

    events: list[Event]

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def decided(self, decided: Transition | Occupancy) -> None:
        event = from_ledger(decided)
        if event is not None:
            self.emit(event)


MakeLedger = Callable[[Clock, Outbox], Ledger]
MakeBus = Callable[[Clock], Bus]


class Serving:
    """One node on a free port, and clients of it that are closed with it."""

    def __init__(
        self,
        apps: tuple[App, ...],
        settings: NodeSettings,
        front: dict[str, Any],
        make_ledger: MakeLedger,
        make_bus: MakeBus,
        journal: Journal,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.app = apps[0]
        self.timers = TimerWheel(loop)
        self.sink = RecordingSink([])
        clock = LoopClock(self.timers)
        self.ledger = make_ledger(clock, self.sink.decided)
        self.bus = make_bus(clock)
        self.counters = Counters()
        known = StaticApps(apps)
        self.node = Node(
            settings,
            known,
            self.ledger,
            self.bus,
            self.sink,
            self.timers,
            self.counters,
        )
        self.context = FrontContext(
            routes=ApiRoutes(
                self.node, time.time, Desk(Endpoints(known), journal, time.time, RETRY_SECONDS)
            ),
            open_websocket=self.node.open_websocket,
            timers=self.timers,
            writes=Writes(loop),
            head_timeout_seconds=settings.head_timeout_seconds,
            admit=self.node.admit_socket,
            admit_websocket=self.node.admit_websocket,
            closed=self.node.release_socket,
            negotiate=self.node.negotiate,
            **front,
        )
        self.clients: list[Client] = []
        self.port = 0
        self._listener: Listener

    async def start(self) -> None:
        sockets = await bind("127.0.0.1", 0)
        self.port = sockets[0].getsockname()[1]
        self._listener = await listen(sockets, partial(Front, self.context))

    async def stop(self) -> None:
        """Close every client; a connection that outlives its client is an error."""
        for client in self.clients:
            client.close()
        try:
            await eventually(lambda: self.open_sockets == 0)
        finally:
            self._listener.close()
            self.timers.stop()
            for hub in self.node.hubs():
                for connection in list(hub.connections.values()):
                    connection._transport.abort()

    @property
    def hub(self) -> Hub:
        return self.node.hub(self.app)

    @property
    def open_sockets(self) -> int:
        """TCP connections that the node counts."""
        return self.node._sockets

    async def connect(
        self,
        app: App | None = None,
        *,
        query: str = "protocol=7",
        headers: tuple[tuple[str, str], ...] = (),
        receive_buffer: int = 0,
        prefix: str = "",
        compression: ClientPerMessageDeflateFactory | None = None,
    ) -> Client:
        """A WebSocket whose upgrade is done, and nothing read yet."""
        app = app or self.app
        client = Client(app)
        self.clients.append(client)
        target = f"{prefix}/app/{app.keys[0].key}?{query}"
        await client.open(self.port, target, headers, receive_buffer, compression)
        return client

    async def join(self, *channels: str, app: App | None = None) -> Client:
        """An established connection that is on *channels*."""
        client = await self.established(app)
        for channel in channels:
            await client.subscribe(channel)
            await client.expect_subscribed(channel)
        return client

    async def established(self, app: App | None = None) -> Client:
        client = await self.connect(app)
        await client.expect_established()
        return client

    async def dial(self) -> socket.socket:
        """A bare TCP connection."""
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return sock

    async def everything(self, client: Client) -> list[Message]:
        """All that *client* is sent, once no channel has anything left to send."""
        channels = self.hub.channels
        await eventually(lambda: not any(each.batches for each in channels.values()))
        return await client.barrier()

    def connection(self, client: Client) -> Connection:
        """The server's side of *client*."""
        return self.hub.connections[client.socket_id]

    def publish(
        self,
        channel: str,
        event: str,
        data: str = "x",
        skip: str | None = None,
        *,
        sealed: bool = False,
    ) -> None:
        """Publish as the HTTP API does, within this turn of the loop."""
        payload = encode_json({"event": event, "channel": channel, "data": data})
        publication = Publication(self.app.id, channel, payload, skip, sealed=sealed)
        self.bus.publish((publication,), lambda published: None)

    async def call(
        self,
        method: str,
        path: str,
        body: object = b"",
        query: str = "",
        *,
        app: App | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        signed_path: str | None = None,
    ) -> Answer:
        """One signed API call; *query* goes into the URL as it is, *body* as it is or as JSON."""
        app = app or self.app
        payload = body if isinstance(body, bytes) else encode_json(body)
        target = f"{path}?{sign(app, method, signed_path or path, query, payload)}"
        return await request(self.port, method, target, payload, headers)

    async def trigger(self, channel: str, event: str, data: str = "x", **fields: object) -> Answer:
        body = {"name": event, "channel": channel, "data": data, **fields}
        return await self.call("POST", f"/apps/{self.app.id}/events", body)

    async def user_ids(self, channel: str) -> list[str]:
        answer = await self.call("GET", f"/apps/{self.app.id}/channels/{channel}/users")
        assert answer.status == 200, answer
        return [user["id"] for user in json.loads(answer.body)["users"]]


def sign(app: App, method: str, path: str, query: str, body: bytes) -> str:
    """*query* and the parameters that authenticate it."""
    pair = app.keys[0]
    auth = f"auth_key={pair.key}&auth_timestamp={int(time.time())}&auth_version=1.0"
    if body:
        auth += f"&body_md5={hashlib.md5(body, usedforsecurity=False).hexdigest()}"
    query = f"{query}&{auth}" if query else auth
    string = canonical_string(method, path, parse_query(query))
    digest = hex_digest(pair.secret, string.encode("utf-8", "surrogateescape"))
    return f"{query}&auth_signature={quote(digest)}"


async def request(
    port: int,
    method: str,
    target: str,
    body: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """One HTTP request on a connection of its own."""
    fields = dict([("Host", f"127.0.0.1:{port}"), ("Connection", "close"), *headers])
    if body or method == "POST":
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items())]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(DEADLINE):
            received = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    head, _, content = received.partition(b"\r\n\r\n")
    status, *answered = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in answered)
    return Answer(int(status.split()[1]), {key.lower(): value for key, _, value in pairs}, content)


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop run until *condition* holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serving(
    *apps: App,
    front: dict[str, Any] | None = None,
    make_ledger: MakeLedger = MemoryLedger,
    make_bus: MakeBus = MemoryBus,
    journal: Journal | None = None,
    **settings: Any,
) -> AsyncIterator[Serving]:
    """A running node; *settings* are those of ``NodeSettings``."""
    started = Serving(
        apps or (APP,),
        NodeSettings(**settings),
        front or {},
        make_ledger,
        make_bus,
        journal or KeptJournal(),
    )
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


def app_with(app: App = APP, /, **settings: Any) -> App:
    """*app* with other settings; those of its limits by their own names."""
    limits = {name: settings.pop(name) for name in list(settings) if hasattr(app.limits, name)}
    return replace(app, limits=replace(app.limits, **limits), **settings)


LOOPBACK: Final = (ip_network("127.0.0.0/8"),)
